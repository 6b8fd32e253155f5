#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployed
short_description: Note that a deployment has ended well on a host (internal)
version_added: 0.1.0
description:
  - The last task of the playbook C(fleet.tls.deploy), on hosts where something was to be done. What it notes in the store lets
    M(fleet.tls.due_hosts) leave the host out until something becomes due.
  - Before a host that is in order asks others, its note is removed, so that it is visited again where they do not answer as they should.
  - Runs on the controller alone and never connects to the host.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
options:
  store:
    description: As for M(fleet.tls.certificates).
    type: dict
    required: true
  look:
    description: What M(fleet.tls.due_parts) returned as C(look). Without it, the host's note is removed.
    type: dict
  certificates:
    description: The result of M(fleet.tls.certificates), where it was run since then.
    type: dict
    default: {}
  handed_out:
    description: What M(fleet.tls.ca) returned as C(handed_out), where it was run since then.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Find out what there is to do
  fleet.tls.due_parts:
  vars:
    fleet_tls_parts:
      certificates: "{{ tls_certificates is defined }}"
  register: due

- name: Note that it is done
  fleet.tls.deployed:
    store: "{{ tls_store }}"
    look: "{{ due.look }}"
  when: due.look is defined
"""

RETURN = r"""
"""
