# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ca
short_description: Make the internal CA and show its certificates
version_added: 0.1.0
description:
  - Makes what issuers need before they can issue. For an issuer of type V(ca) that is a root and an issuing CA, their keys sealed
    in the store; when the issuing CA comes near its end, the next one under the same root.
  - Keeps a CRL of every CA. A new one is signed when there is none, when a certificate was revoked, and when half of its life is over;
    where that cannot be done (no passphrase, a root key kept elsewhere) the present one stays, with a warning when its end is near.
  - M(fleet.tls.certificates) makes the CA as well when it first issues. This module does it ahead, so that the root can be distributed first.
  - Runs on the controller alone and never connects to the host. Use C(run_once).
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store
options:
  issuer:
    description: Only this one of O(issuers). Without it, all of them.
    type: str
"""

EXAMPLES = r"""
- name: Make the internal CA
  fleet.tls.ca:
    store:
      path: "{{ inventory_dir }}/tls-store"
      passphrase: "{{ vault_tls_passphrase }}"
    issuers:
      internal:
        type: ca
  run_once: true
  register: ca

- name: Hand the root to those who are no hosts of ours
  ansible.builtin.copy:
    content: "{{ ca.issuers.internal.anchors }}"
    dest: /srv/www/ca.pem
    mode: "0644"

- name: Publish what it has revoked
  ansible.builtin.copy:
    content: "{{ ca.issuers.internal.crls | map(attribute='pem') | join }}"
    dest: /srv/www/crl.pem
    mode: "0644"
"""

RETURN = r"""
prepared:
  description: What was made, or in check mode would be made, in words, by the issuer's name.
  returned: success
  type: dict
  sample: {internal: "the CA 'internal' does not exist yet: a root and an issuing CA are made"}
issuers:
  description: The chosen issuers.
  returned: success
  type: dict
  contains:
    anchors:
      description: What clients have to trust, PEM. Empty where there is no CA yet.
      type: str
    authorities:
      description: CA certificates by their ids, such as V(root-1) and V(issuing-1), with subject, dates, fingerprint and C(pem).
      type: dict
    crls:
      description: A CRL of each CA that is in use, the root's among them.
      type: list
      elements: dict
      contains:
        issuer:
          description: The CA's subject.
          type: str
        number:
          description: The CRL number. It grows from one CRL of a CA to its next.
          type: int
        last_update:
          description: From when on it counts.
          type: str
        next_update:
          description: Until when it counts.
          type: str
        revoked:
          description: The serial numbers it lists, in hexadecimal.
          type: list
          elements: str
        pem:
          description: The CRL itself.
          type: str
"""
