#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Find certificates on a host for another task of this collection (internal)
version_added: 0.1.0
description:
  - What the actions of this collection run on a host. Use those instead; requests and answers may change with every release.
author:
  - fleet.tls contributors (@fleet-tls)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
  - fleet.tls.host_step
options:
  step:
    description: Which step.
    type: str
    required: true
    choices: [files]
"""

EXAMPLES = r"""
- name: Certificates in a folder (use fleet.tls.certificate_files_info instead)
  fleet.tls.host_files:
    step: files
    request:
      directory: /etc/fleet-tls
      paths: [/etc/ssl]
      exclude: []
"""

RETURN = r"""
answer:
  description: The step's answer, as described in C(docs/host-protocol.md) of the collection. It holds no private key.
  returned: always
  type: dict
"""

from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.host_module import run_module


def files(request: dict[str, Any], secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``files``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.files import files_step

    return files_step(request, secrets)


STEPS = {"files": files}


def main() -> None:
    """Wire the module; steps are imported late, so that each pays for its own imports only."""
    run_module(STEPS)


if __name__ == "__main__":
    main()
