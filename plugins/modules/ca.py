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
    in the store; before the issuing CA expires, it makes the next one under the same root. For one of type V(acme) it is the
    account.
  - With C(root) and C(issuing) among its options, an issuer of type V(ca) adopts an existing CA. If the key of the root is elsewhere,
    a CSR is made for the issuing CA (RV(issuers.csr)), with a warning until its certificate lies where the inventory says; see
    C(docs/issuers/ca.md) of the collection. A CA that is not fit is refused before anything is written.
  - Keeps a CRL of every CA. A new one is signed when there is none, when a certificate was revoked, and when half of its validity has passed.
    If that is not possible (no passphrase, a root key kept elsewhere), the present one stays, with a warning before it expires.
  - If hosts have shown newer CRLs in this run (M(fleet.tls.due_parts)), because the store was restored from an older copy, their entries
    are taken over before anything is signed, with a warning.
  - M(fleet.tls.certificates) makes the CA as well when it first issues. This module does it ahead, so that the root can be distributed first.
  - If an issuer cannot be prepared, the others are not affected, and its CRLs are signed anyway. The task fails at its end and reports
    everything that went wrong.
  - Runs on the controller alone and never connects to the host. Use C(run_once), or O(once) where hosts have different issuers.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.clocks
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store
  - fleet.tls.maintenance
attributes:
  idempotent:
    support: partial
    details: O(account=new_key) and O(account=new) make a new key at each run.
options:
  issuer:
    description: Only this one of O(issuers). Without it, all of them.
    type: str
  once:
    description:
      - Does it once for all hosts of a batch that have the same O(store) and O(issuers). The others get the result without
        RV(issuers.crls), and no error that is not theirs.
    type: bool
    default: false
  await_clocks:
    description:
      - Makes nothing that has a date as long as a clock is in doubt and not all hosts have been heard, and says so in RV(clocks_wanted); a later task
        of the same run, without this option, makes it. The roles of this collection do so.
    type: bool
    default: false
  account:
    description:
      - What becomes of the account of O(issuer), one of type V(acme). V(kept) keeps it.
      - V(new_key) lets a new key take it over (RFC 8555, 7.3.5). A change that a killed run has begun is finished.
        It is all that waits for O(windows) and O(freeze) here, unless it has begun.
      - V(new) has another account made, with another key, and forgets the present one. It is the way out where the CA takes the account no
        more, or its key is lost.
    type: str
    choices: [kept, new_key, new]
    default: kept
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

- name: Adopt a CA
  fleet.tls.ca:
    store:
      path: "{{ inventory_dir }}/tls-store"
      passphrase: "{{ vault_tls_passphrase }}"
    issuers:
      internal:
        type: ca
        root: {certificate: /root/pki/ca.crt, key: /root/pki/private/ca.key, passphrase: "{{ vault_ca_passphrase }}"}
  run_once: true

- name: Hand the CSR of the issuing CA to the keeper of a root whose key is elsewhere
  ansible.builtin.copy:
    content: "{{ ca.issuers.internal.csr }}"
    dest: /srv/to-be-signed/issuing.csr
    mode: "0644"
  when: ca.issuers.internal.csr is not none

- name: Publish what it has revoked
  ansible.builtin.copy:
    content: "{{ ca.issuers.internal.crls | map(attribute='pem') | join }}"
    dest: /srv/www/crl.pem
    mode: "0644"
"""

RETURN = r"""
clocks_wanted:
  description: Whether something due was left for a later task, with O(await_clocks), because no host's clock is known yet.
  returned: always
  type: bool
kept_by:
  description: The host whose task did it.
  returned: with O(once), on the other hosts
  type: str
prepared:
  description: What was made, or in check mode would be made, in words, by the issuer's name.
  returned: success
  type: dict
  sample: {internal: "the CA 'internal' does not exist yet: a root and an issuing CA are made"}
deferred:
  description: Until when the account's new key waits for a maintenance window, and why.
  returned: success
  type: str
issuers:
  description: The chosen issuers.
  returned: success
  type: dict
  contains:
    anchors:
      description: What clients must trust, PEM. Empty if there is no CA yet, or if every system trusts it anyway.
      type: str
    thumbprints:
      description: As RV(acme_thumbprints), of this issuer.
      type: list
      elements: str
    authorities:
      description: CA certificates by their ids, such as V(root-1) and V(issuing-1), with subject, dates, fingerprint and C(pem).
      type: dict
    csr:
      description:
        - The CSR (PEM) of the issuing CA that waits for the signature of a root whose key is elsewhere; null where none waits.
        - Once it was made, it is here in check mode as well.
      type: str
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
handed_out:
  description:
    - Digests of what hosts are given of each issuer. C(trust) is about anchors and the accounts whose challenges servers answer, C(lists)
      about revocation lists, both by the issuer's name.
  returned: success
  type: dict
  sample: {trust: {internal: 5f2b8c1e0d9a4f7682b6f0c1a2d3e4f5}, lists: {internal: 0a1b2c3d4e5f60718293a4b5c6d7e8f9}}
acme_thumbprints:
  description:
    - The thumbprints of the account keys of all chosen issuers of type V(acme) whose http-01 challenges the fleet's own servers
      answer. They are no secret, and what the server roles want to know as C(tls_acme_thumbprints).
  returned: success
  type: list
  elements: str
"""
