# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation
short_description: Record and gate the stages of a rotation
version_added: 0.1.0
description:
  - Begins a rotation, proves its present stage on a host, and takes it to its next stage once every host has proven the present one.
    The playbooks C(fleet.tls.rotate_ca) and C(fleet.tls.rotate_keys) do all of it; use this module to look, or for playbooks of your own.
  - A CA goes through V(prepare) (the new one is made and trusted beside the old one), V(activate) (the new one issues) and V(retire)
    (the old one is no longer trusted). Keys have the one stage V(rekey).
  - The proof of a CA's stage uses canaries, leaves with a validity of two hours whose keys are stored nowhere. Bundle files and
    servers that accept a canary of the old CA must accept one of the new. After V(retire) none accepts one of the old. What a host serves
    must be what was issued for it.
  - With O(windows) or O(freeze), a rotation begins, and moves to its next stage, only when those allow it.
    It finishes a stage that has begun. A CA's does not wait once a sixth of its lifetime is left.
  - One run drives a rotation at a time. The next run resumes a killed one.
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
  - fleet.tls.host
  - fleet.tls.host.servers
  - fleet.tls.host.endpoints
attributes:
  idempotent:
    support: partial
    details: O(state=begun) begins another rotation where the last one has come to its end.
options:
  state:
    description:
      - V(begun) begins a rotation, or resumes one that is under way. Use C(run_once).
      - V(proven) proves the present stage on the host, in one round trip, and records it.
      - V(advanced) moves to the next stage, or fails and names the hosts that hold it back. Use C(run_once).
      - V(shown) only tells.
    type: str
    choices: [begun, proven, advanced, shown]
    default: shown
  rotation:
    description: What is rotated.
    type: str
    choices: [ca, keys]
    default: ca
  issuer:
    description: Whose CA is replaced. Without it, that of the only issuer that has one in the store.
    type: str
  names:
    description: Names of the certificates that get new keys; without them, all. Counts with O(state=begun).
    type: list
    elements: str
    default: []
  inventory:
    description:
      - All hosts of the inventory, whatever the play is limited to, each with the names of its issuers; with O(rotation=keys), of its
        certificates. Those that know the issuer, or have certificates, must prove each stage. See the example.
      - The states V(begun) and V(advanced) need it. With V(shown), hosts that are new since the rotation began are counted too.
    type: dict
  failures:
    description: >-
      All hosts of the run, each with why it failed before, or an empty text, as P(fleet.tls.gathered#filter) returns them with
      C(part='failure'). V(advanced) says so of a host that holds it back.
    type: dict
  leave_behind:
    description: Hosts to continue without. The store remembers them until they have proven a stage.
    type: list
    elements: str
    default: []
  take_over:
    description: Take over a rotation that a run on another machine has driven within the last ten minutes.
    type: bool
    default: false
  clients:
    description: The mTLS clients of the host; their bundles must hold the CA.
    type: list
    elements: dict
    default: []
  bundles:
    description:
      - Bundle files of M(fleet.tls.trust_bundle), and of the upstreams of sites, which must hold the CA. Their C(path) is read, and C(issuers),
        the issuers of a bundle that does not have those of O(trust_issuers).
    type: list
    elements: dict
    default: []
  system:
    description: Whether the system's trust store must hold the CA.
    type: bool
    default: false
  trust_issuers:
    description: The issuers that O(bundles) without C(issuers) and O(system) trust; without it, all.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show the stage of the CA's rotation, and which hosts hold it back
  fleet.tls.rotation:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
  run_once: true
  register: rotation

- name: Go on once every host that knows the issuer has proven the present stage
  fleet.tls.rotation:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    state: advanced
    inventory: "{{ hostvars | fleet.tls.gathered('tls_issuers', groups['all'], part='names') }}"
    failures: "{{ hostvars | fleet.tls.gathered(['proof', 'deployed'], ansible_play_hosts_all, part='failure') }}"
  run_once: true
"""

RETURN = r"""
stage:
  description: The present stage; V(none) where there was never a rotation, V(done) after the last one.
  returned: success
  type: str
next:
  description: The stage that follows.
  returned: success
  type: str
begun_at:
  description: When it began, in seconds since the epoch.
  returned: when there is a rotation
  type: int
names:
  description: The certificates it is about; empty for all.
  returned: when there is a rotation, but not with O(state=proven)
  type: list
  elements: str
proven:
  description: Hosts that have proven the present stage.
  returned: when there is a rotation, but not with O(state=proven)
  type: list
  elements: str
held_back_by:
  description: Hosts that have not.
  returned: success, but not with O(state=proven) of a rotation that is under way
  type: list
  elements: str
left_behind:
  description: Hosts that the rotation continues without, each with the stage at which that was decided.
  returned: when there is a rotation, but not with O(state=proven)
  type: dict
stage_seconds:
  description: Stage → how long it took, in seconds, of those that have come to their end.
  returned: when there is a rotation, but not with O(state=proven)
  type: dict
deferred:
  description: Until when the next stage waits for a maintenance window, and why.
  returned: success, but not with O(state=proven) of a rotation that is under way
  type: str
problems:
  description: What the host has against the stage, in words.
  returned: with O(state=proven)
  type: list
  elements: str
"""
