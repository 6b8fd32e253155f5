# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: left_over_info
short_description: Show what of this collection a host has and the inventory no longer names
version_added: 0.1.0
description:
  - Certificates, mTLS clients, trust bundles, session ticket keys and files of web servers that this collection has put on the host, and that are
    not among what is wanted. Each comes with the entry that lets M(fleet.tls.retire) take it away.
  - Changes nothing, and needs no store. The playbook C(fleet.tls.check) reports the same as C(left_over).
author:
  - fleet.tls contributors (@fleet-tls)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
  - fleet.tls.host
options:
  certificates:
    description: The certificates of the host, as for M(fleet.tls.certificates).
    type: list
    elements: raw
    default: []
  clients:
    description: The mTLS clients of the host, as for M(fleet.tls.clients).
    type: list
    elements: raw
    default: []
  bundles:
    description: The trust bundles of the host, as for M(fleet.tls.trust_bundle).
    type: list
    elements: raw
    default: []
  sites:
    description: The sites of the host. Without it, nothing is deployed to its web server, and what is there is left over.
    type: list
    elements: raw
  session_ticket_pool:
    description: The pool of session ticket keys that the host is in. Without it, it is in none.
    type: str
  session_tickets:
    description: Whether it is to stay in the pool.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: What has been forgotten
  fleet.tls.left_over_info:
    certificates: "{{ tls_certificates }}"
    sites: "{{ tls_sites }}"
  register: found

- name: Show it
  ansible.builtin.debug:
    msg: "{{ found.left_over | map(attribute='remedy') }}"
"""

RETURN = r"""
left_over:
  description: What is there and not wanted.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(certificate), V(client), V(bundle), V(pool) (of session ticket keys) or V(sites).
      type: str
    name:
      description: Its name, its path, or the name of the web server.
      type: str
    remedy:
      description: What takes it away.
      type: str
"""
