#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_prove
short_description: Shake hands from a host for another task of this collection (internal)
version_added: 0.1.0
description:
  - What the actions of this collection run on a host. Use those instead; requests and answers may change with every release.
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
    choices: [handshake, trace, prove]
"""

EXAMPLES = r"""
- name: Shake hands with an endpoint from the host (use fleet.tls.endpoint_info instead)
  fleet.tls.host_prove:
    step: handshake
    request:
      endpoints:
        - host: 127.0.0.1
          port: 443
          server_name: www.example.com
"""

RETURN = r"""
answer:
  description: The step's answer, as described in C(docs/host-protocol.md) of the collection. It holds no private key.
  returned: always
  type: dict
"""

from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.host_module import run_module


def handshake(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``handshake``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step

    return handshake_step(request)


def trace(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``trace``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.trace import trace_step

    return trace_step(request)


def prove(request: dict[str, Any], secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``prove``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.prove import prove_step

    return prove_step(request, secrets)


STEPS = {"handshake": handshake, "trace": trace, "prove": prove}


def main() -> None:
    """Wire the module; steps are imported late, so that each pays for its own imports only."""
    run_module(STEPS)


if __name__ == "__main__":
    main()
