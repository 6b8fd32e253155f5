#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_apply
short_description: Install certificates for another task of this collection (internal)
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
    choices: [apply, challenge]
"""

EXAMPLES = r"""
- name: Answer an ACME challenge with a file (fleet.tls.certificates does)
  fleet.tls.host_apply:
    step: challenge
    request:
      webroot: /var/www/html
      state: absent
      files:
        - token: LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0
"""

RETURN = r"""
answer:
  description: The step's answer, as described in C(docs/host-protocol.md) of the collection. It holds no private key.
  returned: always
  type: dict
"""

from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.host_module import run_module


def apply(request: dict[str, Any], secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``apply``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.apply import apply_step

    return apply_step(request, secrets)


def challenge(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``challenge``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.challenge import challenge_step

    return challenge_step(request)


STEPS = {"apply": apply, "challenge": challenge}


def main() -> None:
    """Wire the module; steps are imported late, so that each pays for its own imports only."""
    run_module(STEPS)


if __name__ == "__main__":
    main()
