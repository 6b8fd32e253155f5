#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Copies and judgement of a drill (internal)
version_added: 0.1.0
description:
  - The playbook C(fleet.tls.drill) uses it. Run that.
  - Copies what a host wants, so that nothing of the copy reaches what is served. Says what a drill has shown.
  - Runs on the controller alone and never connects to the host.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
options:
  state:
    description:
      - V(copied) returns the copy, and makes the drill's folder in the run's own temporary folder on the controller.
      - V(timed) returns the time.
      - V(judged) returns what the drill has shown. Use C(run_once).
      - V(removed) removes the folder on the controller, and those of drills that were killed. Use C(run_once).
    type: str
    choices: [copied, timed, judged, removed]
    required: true
  playbook:
    description: What is rehearsed, V(rotate_ca) or V(replace_compromised).
    type: str
    default: rotate_ca
  directory:
    description: The host's C(tls_directory). The drill's folder on the host is beside it, with C(.drill) at its end.
    type: str
    default: /etc/fleet-tls
  issuers:
    description: The real issuers. Each becomes an internal CA that is thrown away.
    type: dict
    default: {}
  issuer:
    description: Whose CA is replaced. Without it, that of the only issuer that has one in the store.
    type: str
  certificates:
    description: C(tls_certificates) of the host.
    type: list
    elements: raw
    default: []
  clients:
    description: C(tls_clients) of the host.
    type: list
    elements: raw
    default: []
  bundles:
    description: C(tls_trust_bundles) of the host.
    type: list
    elements: raw
    default: []
  services:
    description: Services that are asked whether they like their configuration, besides those of the certificates.
    type: list
    elements: raw
    default: []
  reload:
    description: Let services reload the configuration that they have.
    type: bool
    default: false
  moments:
    description: When the drill C(begun), when the copy was C(deployed) and, where keys were replaced, C(replaced), in seconds since the epoch.
    type: dict
    default: {}
  rotation:
    description: The last result of M(fleet.tls.rotation).
    type: dict
    default: {}
  hosts:
    description: The hosts of the drill.
    type: list
    elements: str
    default: []
  came_through:
    description: Those that have not failed.
    type: list
    elements: str
    default: []
  inventory:
    description: All hosts that the real run would have, as keys.
    type: dict
    default: {}
  failures:
    description: Host → why it failed, or an empty text, as P(fleet.tls.gathered#filter) returns it with C(part='failure').
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Copy what this host wants
  fleet.tls.drill:
    state: copied
    issuers: "{{ tls_issuers }}"
    certificates: "{{ tls_certificates }}"
  register: drill
"""

RETURN = r"""
folder:
  description: The drill's folder on the host.
  returned: with O(state=copied)
  type: str
directory:
  description: What stands for C(tls_directory) in the drill.
  returned: with O(state=copied)
  type: str
store:
  description: The folder of the drill's store, on the controller.
  returned: with O(state=copied)
  type: str
passphrase_file:
  description: The file with that store's passphrase.
  returned: with O(state=copied)
  type: str
issuers:
  description: What stands for C(tls_issuers).
  returned: with O(state=copied)
  type: dict
issuer:
  description: The issuer whose CA is replaced.
  returned: with O(state=copied)
  type: str
certificates:
  description: What stands for C(tls_certificates).
  returned: with O(state=copied)
  type: list
  elements: dict
clients:
  description: What stands for C(tls_clients).
  returned: with O(state=copied)
  type: list
  elements: dict
bundles:
  description: What stands for C(tls_trust_bundles).
  returned: with O(state=copied)
  type: list
  elements: dict
services:
  description: What stands for C(tls_trust_services).
  returned: with O(state=copied)
  type: list
  elements: dict
at:
  description: Now, in seconds since the epoch.
  returned: with O(state=timed)
  type: float
failed_hosts:
  description: Hosts on which the real run would fail, each with the reason.
  returned: with O(state=judged)
  type: dict
seconds:
  description: Stage → how long it took. Empty in check mode.
  returned: with O(state=judged)
  type: dict
estimate:
  description: How long the real run takes, C(from) and C(to), in seconds; null where nothing was measured.
  returned: with O(state=judged)
  type: dict
text:
  description: All of it for people.
  returned: with O(state=judged)
  type: list
  elements: str
"""
