#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: due_parts
short_description: Which parts of a deployment have anything to do on a host (internal)
version_added: 0.1.0
description:
  - The first task of the playbook C(fleet.tls.deploy). It asks the task of each part what it would do, and all of them share one visit to
    the host.
  - Revocation lists that the host has, and that list what the store's do not, are kept for the tasks of this run that sign new ones. That is
    why C(fleet.tls.revoke) begins with it, too.
  - It never fails a host for what a part would refuse. That part is due then, and says itself what is wrong.
  - The parts that concern the host are those that are true in the variable C(fleet_tls_parts), as that playbook has it.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
options: {}
"""

EXAMPLES = r"""
- name: Find out what there is to do
  fleet.tls.due_parts:
  vars:
    fleet_tls_parts:
      certificates: "{{ tls_certificates is defined }}"
      trust: "{{ tls_issuers is defined }}"
  register: due

- name: Show it
  ansible.builtin.debug:
    var: due.due
"""

RETURN = r"""
due:
  description:
    - The parts that have something to do, or something to say, in the order in which they come.
    - A part that changes something may be what later parts depend on, so those are due as well.
  returned: success
  type: list
  elements: str
  sample: [web_server, clients]
own:
  description: Those of them that are due by themselves, not only for what comes before them.
  returned: success
  type: list
  elements: str
  sample: [web_server]
why:
  description: Part → why it has something to do, in words. Parts that are due for what comes before them, or have a warning to give, are not here.
  returned: success
  type: dict
  sample: {web_server: it would change something}
asks_others:
  description: Parts that ask other hosts, which may be about to change. They are to be proven even where nothing is due on this host.
  returned: success
  type: list
  elements: str
  sample: [clients]
look:
  description: What M(fleet.tls.deployed) notes of the host when that is done. Where nothing is due, it is noted already.
  returned: when something is due or the host asks others, and all parts of the deployment were looked at
  type: dict
ansible_facts:
  description: What the host says of itself, as M(fleet.tls.host_facts) has it.
  returned: when something is due and the host has been asked
  type: dict
"""
