#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session_ticket_rotation
short_description: Begin the next step of the session ticket keys of whole pools, or say what holds it back
version_added: 0.1.0
description:
  - Makes the next ring, C([cur, next, new]), of each pool in the store, when every host of the pool was seen to have the last one and that
    is long enough ago. M(fleet.tls.session_ticket_keys) on every host then brings it there. The playbook
    C(fleet.tls.rotate_session_tickets) does all of it.
  - A step that some host has not taken is finished before another begins, so that no host is ever two steps from another.
  - Only the beginning of a step waits for O(windows) and O(freeze); O(replace) does not.
  - Runs on the controller, once for all hosts.
notes:
  - Of two runs that begin a step at once, one wins, and the other says so in RV(pools).
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store.only_store
  - fleet.tls.maintenance
options:
  looks:
    description: For each host, what M(fleet.tls.session_ticket_keys) returned in check mode.
    type: dict
    required: true
  pools:
    description: For each host, its pool. Those that cannot be reached do not say it themselves.
    type: dict
    required: true
  leave_behind:
    description: Hosts to continue without. The store remembers them until they have taken a ring again.
    type: list
    elements: str
    default: []
  replace:
    description:
      - Replace all three keys instead. No earlier session can be resumed, which is necessary when a client's certificate was revoked or a key
        has leaked.
    type: bool
    default: false
  replace_older_than:
    description: With O(replace), a ring that was made since this moment, in seconds since the epoch, is not replaced again.
    type: int
"""

EXAMPLES = r"""
- name: Look at every host
  fleet.tls.session_ticket_keys:
    store: "{{ tls_store }}"
    pool: web
    servers: [nginx]
  check_mode: true
  ignore_errors: true
  ignore_unreachable: true
  register: look

- name: Begin the next step
  fleet.tls.session_ticket_rotation:
    store: "{{ tls_store }}"
    looks: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'look'))) }}"
    pools: "{{ dict(ansible_play_hosts_all | zip(['web'] * ansible_play_hosts_all | length)) }}"
  run_once: true
"""

RETURN = r"""
pools:
  description:
    - What becomes of each pool. C(step) is V(begin), V(resume) (a step that was begun earlier is to be finished), V(replace), V(wait) (for a
      maintenance window) or V(refuse);
      C(before) and C(generation) are the ring's numbers; C(text) says why.
  returned: success
  type: dict
  sample: {web: {step: begin, before: 7, generation: 8, text: "generation 7 gives way to 8."}}
"""
