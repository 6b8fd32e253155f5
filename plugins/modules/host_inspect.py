#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_inspect
short_description: Look at all that a check is about, in one visit (internal)
version_added: 0.1.0
description:
  - What the actions of this collection run on a host. Use those instead; requests and answers may change with every release.
  - Several steps in one, for M(fleet.tls.check_host).
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
    choices: [inspect]
"""

EXAMPLES = r"""
- name: Two steps in one visit
  fleet.tls.host_inspect:
    step: inspect
    request:
      requests:
        - step: files
          request:
            directory: /etc/fleet-tls
            paths: [/etc/ssl]
            exclude: []
        - step: look
          request: "{{ request }}"
"""

RETURN = r"""
answer:
  description: The step's answer, as described in C(docs/host-protocol.md) of the collection. It holds no private key.
  returned: always
  type: dict
"""

from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.host_module import run_module, several_steps


def look(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``look``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step

    return look_step(request)


def files(request: dict[str, Any], secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``files``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.files import files_step

    return files_step(request, secrets)


def configure(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``configure``, of which a check has nothing written."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.configure import configure_step

    return configure_step(request)


def handshake(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``handshake``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step

    return handshake_step(request)


def retire(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``retire``, of which a check has what of ours is there."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.retire import retire_step

    return retire_step(request)


PARTS = {"look": look, "files": files, "configure": configure, "handshake": handshake, "retire": retire}


def inspect(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``inspect``."""
    return several_steps(PARTS, request)


STEPS = {"inspect": inspect}


def main() -> None:
    """Wire the module; steps are imported late, so that each pays for its own imports only."""
    run_module(STEPS)


if __name__ == "__main__":
    main()
