#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: due_hosts
short_description: Which hosts a deployment must visit (internal)
version_added: 0.1.0
description:
  - The first task of the playbook C(fleet.tls.deploy_due). It compares what the inventory says of the play's hosts with what the store says, and asks no
    host.
  - A host is left out only where the last C(fleet.tls.deploy) found or left everything on it as it should be, and where nothing has become
    due since. In doubt it is visited.
  - Runs on the controller alone and never connects to the host. Use it for one host only; its result is about all of them.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
options:
  force:
    description: As C(tls_force) of the role C(fleet.tls.certificates). Hosts with a certificate or a pool of these names are visited. V(true) are all hosts.
    type: raw
    default: false
"""

EXAMPLES = r"""
- name: Find the hosts that are due
  hosts: all
  gather_facts: false
  tasks:
    - name: Compare the inventory with the store
      fleet.tls.due_hosts:
      run_once: true
      register: found

    - name: Show who is visited, and why
      ansible.builtin.debug:
        var: found.hosts
      run_once: true
"""

RETURN = r"""
hosts:
  description:
    - Host → why it is visited. Of several reasons, the first of this list.
    - V(forced), named in O(force); V(rotation), a rotation of a CA or of keys is under way.
    - V(unknown), nothing is known of it, or its last deployment did not end well.
    - V(inventory), its variables or its address have changed; V(ledger), the ledger does not have its certificates; V(pool), the pool of one of
      them has another one by now; V(revoked), one of them waits for a maintenance window and is revoked, so that it waits no longer.
    - V(renewal), a certificate is due; V(early), its CA wants it renewed (ARI); V(tickets), it has not shown the session ticket keys of its pool.
    - V(trust), what it is to trust has changed; V(lists), so have its revocation lists, or they are due.
    - V(ca), a CA or one of its lists is due, and somebody has to be visited for it; V(week), its last visit is a week ago.
  returned: success
  type: dict
  sample: {web1: renewal, web7: inventory}
left_out:
  description: How many hosts of the play are left out.
  returned: success
  type: int
restriction:
  description: What follows a pattern, in a list of patterns, to leave only these hosts of it.
  returned: success
  type: str
  sample: '&~(web1|web7)\Z'
msg:
  description: How many hosts are visited, and why.
  returned: success
  type: str
  sample: "2 hosts are visited: 1 (its inventory has changed), 1 (a certificate is due); 98 are left out"
"""
