# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: retire
short_description: Remove certificates, clients, bundles and session ticket keys again
version_added: 0.1.0
description:
  - Removes what has C(state=absent) in O(certificates), O(clients) and O(bundles), and the session ticket keys of O(session_ticket_pool), or
    with O(whole_host=true) everything of this collection. What was at a path first is restored.
  - Nothing is removed from a service that still uses it. A certificate that a site or a client still names is refused. One that an endpoint still
    serves after a reload stays. Everything else is first moved out of the services' way. They are checked and reloaded, and every endpoint must have
    stopped serving it; otherwise everything is restored. Only then are keys removed.
  - In the store, what C(revoke) asks for is revoked, then the host's keys are removed, and a pool's pair once no host wants it. The ledger keeps
    everything.
  - The next run finishes a killed one.
  - It comes after the tasks that configure servers and clients, which leave out what is absent. C(docs/retire.md) of the collection has the
    order of things.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store
  - fleet.tls.host
  - fleet.tls.host.presets
  - fleet.tls.host.proven
  - fleet.tls.host.endpoints
  - fleet.tls.clocks
options:
  store:
    required: false
  issuers:
    required: false
    default: {}
  certificates:
    description:
      - All certificates of the host, as for M(fleet.tls.certificates). Those with C(state=absent) go; their other fields stay as they were.
        C(services) says which services must stop serving it.
      - C(revoke) in an entry that is absent is the reason to revoke it with, as in M(fleet.tls.revoke). Of a pool it is the present pair that is
        revoked, once no host wants it.
    type: list
    elements: raw
    default: []
  certificates_of:
    description: Other hosts and their certificates. A pool's pair stays in the store as long as one of them wants it.
    type: dict
    default: {}
  clients:
    description: All mTLS clients of the host, as for M(fleet.tls.clients). The bundles of those with C(state=absent) go.
    type: list
    elements: raw
    default: []
  bundles:
    description: All trust bundles of the host, as for M(fleet.tls.trust_bundle). Those with C(state=absent) go.
    type: list
    elements: raw
    default: []
  sites:
    description: The host's sites. A certificate that one of them names is not retired.
    type: list
    elements: raw
    default: []
  session_ticket_pool:
    description: The pool of session ticket keys that the host leaves. Without it, it stays in its pool.
    type: str
  session_tickets:
    description: Whether servers of the host are to use session ticket keys. Then those of O(session_ticket_pool) are not taken away.
    type: bool
    default: false
  services:
    description:
      - Further services that have to take it, as in M(fleet.tls.trust_bundle), such as those that read bundles and session ticket keys.
    type: list
    elements: raw
    default: []
  endpoints:
    description:
      - Endpoints that must not serve a retired certificate, besides those of its services.
      - Sites as P(fleet.tls.sites#filter) returns them have them under C(endpoints).
  whole_host:
    description:
      - Retire everything of this collection that the host has, also what no option names, and in the end O(directory) itself.
    type: bool
    default: false
  revoke:
    description: With O(whole_host=true), the reason to revoke all valid certificates of the host with. Without it, only those are revoked that say so.
    type: str
  unreachable:
    description: With O(whole_host=true), do not ask the host. It no longer exists, and only the store is cleaned up.
    type: bool
    default: false
  prove_timeout:
    description: For how long an endpoint may go on serving what is retired before everything is put back.
"""

EXAMPLES = r"""
- name: A certificate that nobody needs any more
  fleet.tls.retire:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    certificates:
      - name: shop
        issuer: internal
        dns_names: [shop.example.com]
        services: [nginx]
        state: absent
        revoke: cessation_of_operation

- name: All of a host
  fleet.tls.retire:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    certificates: "{{ tls_certificates }}"
    whole_host: true
"""

RETURN = r"""
there:
  description: All of this collection's that the host had before, whether it was to be retired or not. Empty where the host was not asked.
  returned: success
  type: dict
  contains:
    certificates:
      description: Names of certificates, also of such as were never issued.
      type: list
      elements: str
    clients:
      description: Names of mTLS clients.
      type: list
      elements: str
    bundles:
      description: Paths of trust bundles.
      type: list
      elements: str
    pools:
      description: Pools of session ticket keys.
      type: list
      elements: str
    configured:
      description: Names of the services that have files of ours.
      type: list
      elements: str
retired:
  description: That of which anything was on the host, and what became of it, or in check mode would.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(certificate), V(client), V(bundle), V(pool) (of session ticket keys) or V(files) (what services had besides).
      type: str
    name:
      description: Its name, or its path.
      type: str
    removed:
      description: The paths that went.
      type: list
      elements: str
    given_back:
      description: Those of them where something lay first, which is there again, and where it was kept.
      type: dict
    error:
      description: Why it stays, with C(code), C(message) and C(remedy).
      type: dict
services:
  description: What became of each service, with C(state) and C(error).
  returned: success
  type: dict
store_entries:
  description: What the store gave up, or in check mode would.
  returned: success
  type: list
  elements: str
  sample: [keys/web1/shop.key]
revoked:
  description: Serial numbers of what was revoked, or in check mode would be.
  returned: success
  type: list
  elements: str
"""
