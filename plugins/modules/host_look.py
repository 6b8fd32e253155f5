#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_look
short_description: Look at a host for another task of this collection (internal)
version_added: 0.1.0
description:
  - What the actions of this collection run on a host. Use those instead; requests and answers may change with every release.
  - What most runs ask of a host, and often all. It is a module of its own because every byte of a module is sent to every host.
author:
  - fleet.tls contributors (@fleet-tls)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.host_step
options:
  step:
    description: Which step.
    type: str
    required: true
    choices: [look, facts]
"""

EXAMPLES = r"""
- name: What the host is (use fleet.tls.host_facts instead)
  fleet.tls.host_look:
    step: facts
    request:
      directory: /etc/fleet-tls
"""

RETURN = r"""
answer:
  description: The step's answer, as described in C(docs/host-protocol.md) of the collection. It holds no private key.
  returned: always
  type: dict
"""

from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.host_module import run_module


def look(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``look``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step

    return look_step(request)


def facts(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``facts``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.facts import facts_step

    return facts_step(request)


STEPS = {"look": look, "facts": facts}


def main() -> None:
    """Wire the module; steps are imported late, so that each pays for its own imports only."""
    run_module(STEPS)


if __name__ == "__main__":
    main()
