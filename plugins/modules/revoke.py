# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: revoke
short_description: Revoke certificates, and prove that servers know of it
version_added: 0.1.0
description:
  - Revokes certificates of the ledger, at whichever issuer they are from. Those of an issuer of type V(ca) are listed in its CRL, which is
    signed again at once; other issuers are asked to revoke them. Entries of CRLs that hosts have shown in this run are listed as well, as
    M(fleet.tls.ca) does it.
  - The playbook C(fleet.tls.revoke) brings the CRLs to every server as well, ends old sessions, and proves it;
    C(fleet.tls.replace_compromised) replaces keys before.
  - With each revocation at an issuer of type V(ca) the serial number of a canary is revoked, too, which nobody has a key for. With
    O(state=proven) a client of that number, made for the proof, must be refused by every server that accepts another one of the CA.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.clocks
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store
  - fleet.tls.host
  - fleet.tls.host.servers
  - fleet.tls.host.endpoints
attributes:
  diff_mode:
    support: none
    details: The result lists the certificates.
options:
  state:
    description:
      - V(revoked) revokes them. Use C(run_once).
      - V(chosen) only tells which are meant, and what has taken their place since.
      - V(proven) proves on the host, in one round trip, that its servers refuse a revoked client; with O(same_key), also that none of
        the certificates is served there and none of their keys is in use.
    type: str
    choices: [revoked, chosen, proven]
    default: revoked
  which:
    description:
      - Serial numbers or SHA-256 fingerprints of certificates, or SHA-256 digests of their public keys, in hexadecimal.
      - What the ledger has never known is given as PEM text, or by its serial number with O(issuer) beside it. It is entered into the ledger then.
    type: list
    elements: str
    default: []
  names:
    description: Names of certificates, as in C(tls_certificates).
    type: list
    elements: str
    default: []
  hosts:
    description: Hosts they were issued for.
    type: list
    elements: str
    default: []
  issuer:
    description: The issuer they are from.
    type: str
  same_key:
    description: Also all other certificates that have the key of one that is meant.
    type: bool
    default: false
  certificates_of:
    description: >-
      Hosts, each with its certificates as in C(tls_certificates). The present pairs of their pools are meant as well: the ledger has a
      pool's pair under the host that had it issued.
    type: dict
    default: {}
  reason:
    description: Why (RFC 5280, section 5.3.1).
    type: str
    default: unspecified
  certificates:
    description: The certificates of the host, as for M(fleet.tls.certificates), with O(state=proven).
notes:
  - Certificates that fit all of O(which), O(names), O(hosts) and O(issuer) are meant; give at least one of these. What has
    expired is left out.
"""

EXAMPLES = r"""
- name: A laptop was lost
  fleet.tls.revoke:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    hosts: [laptop7]
    reason: key_compromise
  run_once: true
  register: revoked
"""

RETURN = r"""
certificates:
  description: Those that are meant.
  returned: with O(state=revoked) and O(state=chosen)
  type: list
  elements: dict
  contains:
    host:
      description: The host it was issued for.
      type: str
    certificate:
      description: Its name.
      type: str
    issuer:
      description: The issuer.
      type: str
    serial:
      description: Its serial number, hexadecimal.
      type: str
    fingerprint_sha256:
      description: Its fingerprint.
      type: str
    replaced_by:
      description: The fingerprint of the newest certificate of this host and name; empty where it is this one.
      type: str
revoked_at:
  description: When the last of them was revoked, in seconds since the epoch. Null while one of them is not.
  returned: with O(state=revoked) and O(state=chosen)
  type: int
  sample: 1795539600
key_ids:
  description: SHA-256 digests of their public keys, as O(fleet.tls.certificates#module:rekey) takes them.
  returned: with O(state=revoked) and O(state=chosen)
  type: list
  elements: str
crls:
  description: The CRLs of the issuers concerned, as M(fleet.tls.ca) returns them.
  returned: with O(state=revoked), when something was revoked
  type: list
  elements: dict
problems:
  description: What the host has against the proof, in words.
  returned: with O(state=proven)
  type: list
  elements: str
"""
