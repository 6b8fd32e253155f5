# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: trust_bundle
short_description: Make a host trust the issuers
version_added: 0.1.0
description:
  - Puts trust anchors (CA certificates) into the host's system trust store, and into bundle files for services that have their own.
  - Every anchor is checked on the controller first. A truncated text, a certificate that is not a CA's and an empty set are refused
    before anything is touched. An expired anchor is left out, with a warning. Each anchor is installed once, in a stable order.
  - In the system trust store, all files whose names begin with C(fleet-tls-) belong to this module. Those that are no longer wanted
    are removed, other files are left alone. So let one task per host have O(system=true).
  - A bundle file that is no longer in O(bundles) stays, as something may still read it. M(fleet.tls.retire) removes one with
    C(state=absent).
notes:
  - Known system trust stores are those of Debian and Ubuntu, of the RHEL family and of SUSE. The host's programs and directories show
    which one it has; no facts are needed.
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
options:
  store:
    required: false
  issuers:
    required: false
    default: {}
  from_issuers:
    description: The names of the O(issuers) to trust. Without it, all of them.
    type: list
    elements: str
  anchors:
    description:
      - Further anchors, as a mapping of names of your own to PEM texts, or as a list of PEM texts.
      - A text may hold several certificates.
    type: raw
    default: {}
  system:
    description:
      - Whether the anchors go into the system's trust store. With V(false), and where no issuer and no anchor is left to trust, those that
        this module put there before are removed, the last one too.
      - Without it, the system's trust store is left as it is.
    type: bool
  bundles:
    description: Files that hold all anchors, one PEM after the other, with subject and end above each.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - The file. Its directory is made where it is missing.
          - Something there that is not of fleet.tls is kept beside it, once, as C(.NAME.before-fleet-tls), before it is replaced.
        type: path
        required: true
      owner:
        description: Owner. Without it, the user the task runs as.
        type: str
      group:
        description: Group.
        type: str
      mode:
        description: Mode.
        type: raw
        default: "0644"
      state:
        description: With V(absent), this module leaves it alone, and M(fleet.tls.retire) takes it away.
        type: str
        choices: [present, absent]
        default: present
  services:
    description:
      - Which services read the bundles and must be reloaded when they change. A name of a preset (V(nginx)), or a mapping with C(name), C(validate),
        C(reload) and C(check), as in M(fleet.tls.certificates). When a service refuses, the files before are put back.
    type: list
    elements: raw
    default: []
"""

EXAMPLES = r"""
- name: Trust the internal CA everywhere on the host
  fleet.tls.trust_bundle:
    store:
      path: "{{ inventory_dir }}/tls-store"
    issuers:
      internal:
        type: ca
    system: true

- name: The CAs whose clients nginx lets in
  fleet.tls.trust_bundle:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    from_issuers: [internal]
    anchors:
      partner: "{{ lookup('ansible.builtin.file', 'partner-ca.pem') }}"
    bundles:
      - path: /etc/nginx/client-cas.pem
    services: [nginx]
"""

RETURN = r"""
anchors:
  description: What the host trusts now through this task, sorted.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: The issuer's name, or the name in O(anchors).
      type: str
    subject:
      description: Subject.
      type: str
    issuer:
      description: Issuer, the same for a root.
      type: str
    not_before:
      description: Valid from, UTC.
      type: str
    not_after:
      description: Valid until, UTC.
      type: str
    fingerprint_sha256:
      description: SHA-256 of the certificate, hexadecimal.
      type: str
expired:
  description: What was left out because it has expired, in the same form.
  returned: success
  type: list
  elements: dict
system_store:
  description: Which system trust store the host has. Null where O(system) is not set or where nothing was sent to the host.
  returned: success
  type: str
  sample: debian
changed_paths:
  description: Files that were written or removed, or in check mode would be.
  returned: success
  type: list
  elements: str
kept_files:
  description:
    - Paths of those files where something lay that is not of fleet.tls, and where that is kept, or in check mode would be. The first such
      file is kept, beside the new one, with its own owner and mode, and not replaced later.
  returned: success
  type: dict
  sample: {/etc/nginx/site.pem: /etc/nginx/.site.pem.before-fleet-tls}
services:
  description: What became of each service, with C(state) and C(error). Empty when none was touched.
  returned: success
  type: dict
"""
