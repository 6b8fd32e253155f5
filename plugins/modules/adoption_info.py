#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: adoption_info
short_description: Find the pairs of a host that others made and that can be taken over
version_added: 0.1.0
description:
  - Looks for pairs of certificate and private key that nobody manages here. certbot's, lego's, dehydrated's and acme.sh's lineages, what
    the configurations of services name, and where administrators and roles with M(community.crypto.x509_certificate) usually put them.
  - Returns each as an entry of C(tls_certificates), with C(adopt), or says why it cannot be taken over.
  - Changes nothing, and needs no store. A private key never leaves the host.
notes:
  - What a configuration names is found by how paths look, for all services alike. A file that is named through a variable or by a program
    is not found, and neither is what a service has in its database.
  - Names, paths and owners from the host are taken only where they have the form of such. Nothing that Ansible would read as a template is.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
  - fleet.tls.host
options:
  issuers:
    description: The names of the issuers that there are.
    type: list
    elements: str
    required: true
  issuer:
    description: Which of O(issuers) is to renew what is taken over. Needed where there is more than one.
    type: str
  certificates:
    description: The certificates of the host in the inventory, as for M(fleet.tls.certificates). Their names are not used again.
    type: list
    elements: raw
    default: []
  paths:
    description:
      - Where to look besides the files that configurations name. See M(fleet.tls.certificate_files_info). By default its places, and those of
        lego, dehydrated and acme.sh.
    type: list
    elements: str
  exclude:
    description: Patterns of paths to leave out, as for M(fleet.tls.certificate_files_info).
    type: list
    elements: str
  configurations:
    description:
      - Services, each with the absolute paths and patterns of what it reads its configuration from. They take the place of ours for that
        service. V(**) stands for any number of directories.
    type: dict
    default: {}
  service_presets:
    description: The presets of services that you have described, as for M(fleet.tls.certificates).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: What could be taken over
  fleet.tls.adoption_info:
    issuers: [public, internal]
    issuer: public
  register: found

- name: Show it
  ansible.builtin.debug:
    msg: "{{ {inventory_hostname: found} | fleet.tls.adoption_table }}"
"""

RETURN = r"""
adoptable:
  description: The pairs that can be taken over.
  returned: success
  type: list
  elements: dict
  contains:
    entry:
      description: The entry of C(tls_certificates).
      type: dict
    not_after:
      description: When the certificate ends.
      type: str
    public_key_sha256:
      description: SHA-256 of the public key, by which another host's copy is known.
      type: str
    notes:
      description: What a reviewer should know.
      type: list
      elements: str
refused:
  description: The pairs that cannot be taken over.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file with the certificate.
      type: str
    why:
      description: Why not.
      type: str
"""
