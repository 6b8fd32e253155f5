# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: What the roles for web servers need to know of a host
version_added: 0.1.0
description:
  - Returns the family of a host's distribution, the version of its OpenSSL, and a few things more, in one round trip that starts no
    process there.
  - M(fleet.tls.certificates) tells the same of the hosts it works on, so this is for plays that do without it.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
  - fleet.tls.host
"""

EXAMPLES = r"""
- name: Ask the host
  fleet.tls.host_facts:

- name: Show what it has
  ansible.builtin.debug:
    msg: "OpenSSL {{ ansible_facts.fleet_tls_host.openssl | join('.') }}"
"""

RETURN = r"""
ansible_facts:
  description: Facts of the host.
  returned: success
  type: dict
  contains:
    fleet_tls_host:
      description: The host.
      returned: success
      type: dict
      contains:
        family:
          description: V(debian), V(redhat), V(suse) or V(other), by C(/etc/os-release).
          type: str
        openssl:
          description: Version of the OpenSSL library that Python on the host uses, which is the system's.
          type: list
          elements: int
          sample: [3, 5, 1]
        python:
          description: Version of Python.
          type: list
          elements: int
          sample: [3, 13]
        systemd:
          description: Whether systemd runs.
          type: bool
        resolvers:
          description: Addresses of the name servers of C(/etc/resolv.conf).
          type: list
          elements: str
        trusts_ours:
          description: Whether the system's trust store has an anchor that this collection put there.
          type: bool
        nginx_sites:
          description: Whether nginx there reads C(sites-enabled), as Debian's does, after C(conf.d).
          type: bool
        ocsp:
          description: Names of the certificates whose live leaf names an OCSP responder.
          type: list
          elements: str
"""
