# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write the health of an inventory's certificates in the forms its readers want
version_added: 0.1.0
description:
  - Writes the health document, C(fleet_tls_health) of the playbook C(fleet.tls.check), as files on the controller, each whole or not at all,
    and hands it to a program of yours when something is wrong. It connects to no host; use C(run_once).
  - Every run writes the files again, so that their readers see when the fleet was last looked at. It counts as a change when a file has
    more to say than another moment and what is counted from it (days left, ages, the place of things on the timeline).
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
options:
  health:
    description: The health document.
    type: dict
    required: true
  directory:
    description: Where files go that O(files) does not name. It is created if it is missing.
    type: str
    required: true
  formats:
    description:
      - Which forms are written.
      - V(terminal) is C(health.txt), V(json) C(health.json), V(csv) C(health.csv), V(junit) C(health.xml), V(prometheus)
        C(fleet_tls.prom), V(html) C(health.html), V(cbom) C(health.cdx.json), V(ics) C(health.ics).
    type: list
    elements: str
    choices: [terminal, json, csv, junit, prometheus, html, cbom, ics]
    default: [html, json]
  files:
    description:
      - Paths of forms that go elsewhere, by the form's name; such a form need not be in O(formats).
      - Their directories must exist.
    type: dict
    default: {}
  mode:
    description: The files' mode. That of V(prometheus) is always V(0644), because node_exporter reads it as another user.
    type: raw
    default: "0640"
  notify_command:
    description:
      - A program, as a list of arguments, that gets the document as JSON on standard input when a finding is at least O(notify_severity).
      - It is started without a shell. The task fails when it ends with anything but 0, after the files were written.
      - It is not started in check mode, and makes no change in the sense of Ansible.
    type: list
    elements: str
    default: []
  notify_severity:
    description: From which severity on the program is started; V(ok) for every run.
    type: str
    choices: [critical, warning, notice, ok]
    default: warning
  notify_timeout:
    description: After how long the program is ended, up to an hour.
    type: str
    default: 30s
seealso:
  - plugin: fleet.tls.health_report
    plugin_type: filter
"""

EXAMPLES = r"""
- name: A page for people, a file for Prometheus, and a mail when something is critical
  fleet.tls.report:
    health: "{{ fleet_tls_health }}"
    directory: /var/www/tls
    formats: [html]
    files:
      prometheus: /var/lib/prometheus/node-exporter/fleet_tls.prom
    mode: "0644"
    notify_command: [/usr/local/bin/mail-findings, ops@example.com]
    notify_severity: critical
  run_once: true
"""

RETURN = r"""
files:
  description: Form to path.
  returned: success
  type: dict
worst:
  description: The worst severity among the findings.
  returned: success
  type: str
notified:
  description: Whether the program was started.
  returned: success
  type: bool
"""
