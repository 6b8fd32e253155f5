# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: store_info
short_description: Show what the store knows in public
version_added: 0.1.0
description:
  - Authorities and revocation lists of the issuers, the age of session ticket keys, and what was issued and revoked.
  - Needs no passphrase and changes nothing. Runs on the controller alone and never connects to the host. Use C(run_once).
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
  - fleet.tls.store
options:
  pools:
    description: The pools of session ticket keys to tell of.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Read the store
  fleet.tls.store_info:
    store: {path: "{{ inventory_dir }}/tls-store"}
    issuers: "{{ tls_issuers }}"
    pools: [web]
  run_once: true
  register: known

- name: Which CAs are there
  ansible.builtin.debug:
    msg: "{{ known.issuers.internal.authorities | map(attribute='subject') }}"
  run_once: true
"""

RETURN = r"""
issuers:
  description: The issuers by their names.
  returned: success
  type: dict
  contains:
    anchors:
      description: What its chains lead to, PEM. Empty where every system trusts that anyway.
      type: str
    authorities:
      description: Its CA certificates.
      type: list
      elements: dict
      contains:
        id:
          description: Its id, such as V(root-1), or its fingerprint.
          type: str
        kind:
          description: V(root) or V(issuing).
          type: str
        subject:
          description: Subject, as RFC 4514 text.
          type: str
        not_before:
          description: Valid from, UTC.
          type: str
        not_after:
          description: Valid until, UTC.
          type: str
        fingerprint_sha256:
          description: SHA-256 of the certificate, hexadecimal.
          type: str
        pem:
          description: The certificate, PEM.
          type: str
    ledger_lost:
      description: That it has issued, and the ledger knows of nothing any more, in words; null where that is not so.
      type: str
    signature_wanted:
      description: The CSR of an issuing CA of type V(ca) that waits for the signature of a root whose key is elsewhere; null where none does.
      type: dict
      contains:
        csr:
          description: The CSR, PEM.
          type: str
        message:
          description: What waits for whom.
          type: str
        remedy:
          description: What to do about it.
          type: str
    crls:
      description: The revocation lists, one a CA whose certificates may be in use. Empty where the issuer keeps none.
      type: list
      elements: dict
      contains:
        subject:
          description: Subject of the CA.
          type: str
        last_update:
          description: From when on it counts. Null where there is none.
          type: str
        next_update:
          description: Until when it counts.
          type: str
rings:
  description: The session ticket keys of those O(pools) that have some.
  returned: success
  type: list
  elements: dict
  contains:
    pool:
      description: The pool.
      type: str
    generation:
      description: How many steps there were.
      type: int
    created:
      description: When the last step was taken, UTC.
      type: str
issued:
  description: What was issued and has not expired. From SHA-256 fingerprints to C(issuer), C(host) and C(certificate).
  returned: success
  type: dict
revoked:
  description: What was revoked and has not expired. As RV(issued), with C(reason) and C(revoked_at).
  returned: success
  type: dict
weak_passphrase:
  description: Whether a run that had the store's passphrase found it easy to guess.
  returned: success
  type: bool
errors:
  description: What could not be read, each with C(about), C(message) and C(remedy).
  returned: success
  type: list
  elements: dict
"""
