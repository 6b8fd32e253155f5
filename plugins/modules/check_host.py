#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: check_host
short_description: Look at everything that a check judges on a host (internal)
version_added: 0.1.0
description:
  - The task of the playbook C(fleet.tls.check) that runs on each host. It takes all looks at a host, each as a module of this collection in check
    mode, and all of them share one visit to the host. With passphrases of key stores, the search for certificates is a visit of its own.
  - It fails for none of them. What a look failed with, and that a host cannot be reached, is in the result of that look, and
    P(fleet.tls.health#filter) makes a finding of it.
  - When and with which options each look is taken stands in the variable C(fleet_tls_check_looks), as that playbook has it. A look that is not
    there is not taken.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
options:
  keeper:
    description: The host, by its name in the inventory, whose task reads the store for all. That happens on the controller.
    type: str
    default: ''
  fail_on:
    description:
      - From which severity on the host fails, V(critical), V(warning) or V(never).
      - It is returned as it is, for the task that knows it of all hosts.
    type: str
    default: warning
  reports:
    description:
      - Whether the variables of the host ask for reports.
      - It is returned as it is, for the task that knows it of all hosts.
    type: bool
    default: false
seealso:
  - module: fleet.tls.certificates
  - module: fleet.tls.certificate_files_info
  - module: fleet.tls.service_config
  - module: fleet.tls.endpoint_info
  - module: fleet.tls.store_info
  - plugin: fleet.tls.health
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look for certificates, and at nothing else
  fleet.tls.check_host:
  vars:
    fleet_tls_check_looks:
      files:
        when: true
        options:
          paths: [/etc/ssl]
  register: seen

- name: Judge
  ansible.builtin.debug:
    msg: "{{ ({inventory_hostname: seen} | fleet.tls.health).findings }}"
"""

RETURN = r"""
looks:
  description:
    - What each look came to, in the form in which its own task is registered. A look that was not taken is C(skipped).
    - C(certificates) is from M(fleet.tls.certificates), C(files) from M(fleet.tls.certificate_files_info), C(site_clashes) from
      M(fleet.tls.service_config), C(sites) and C(endpoints) from M(fleet.tls.endpoint_info). C(site_list) says whether C(tls_sites) was understood.
  returned: success
  type: dict
  sample:
    certificates: {changed: false, skipped: true}
    files: {changed: false, files: [], complete: true}
    site_list: {changed: false, skipped: true}
    site_clashes: {changed: false, skipped: true}
    sites: {changed: false, skipped: true}
    endpoints: {changed: false, failed: true, msg: "web1: endpoints: 'www' has no port"}
wanted:
  description: Where a certificate of a certain name is to be served, as P(fleet.tls.sites#filter) has it.
  returned: success
  type: list
  elements: dict
store:
  description: What M(fleet.tls.store_info) returned, or failed with.
  returned: on the host O(keeper)
  type: dict
fail_on:
  description: The option.
  returned: success
  type: str
reports:
  description: The option.
  returned: success
  type: bool
ansible_facts:
  description: What the host says of itself, as M(fleet.tls.host_facts) has it.
  returned: when its certificates were looked at
  type: dict
"""
