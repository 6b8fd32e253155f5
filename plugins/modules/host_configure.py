#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_configure
short_description: Write trust, configuration and ticket keys for another task of this collection (internal)
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
    choices: [trust, configure, tickets, client, retire]
"""

EXAMPLES = r"""
- name: Write a trust bundle (use fleet.tls.trust_bundle instead)
  fleet.tls.host_configure:
    step: trust
    request: "{{ request }}"
"""

RETURN = r"""
answer:
  description: The step's answer, as described in C(docs/host-protocol.md) of the collection. It holds no private key.
  returned: always
  type: dict
"""

from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.host_module import run_module


def trust(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``trust``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.trust import trust_step

    return trust_step(request)


def configure(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``configure``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.configure import configure_step

    return configure_step(request)


def tickets(request: dict[str, Any], secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``tickets``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.tickets import tickets_step

    return tickets_step(request, secrets)


def client(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``client``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.client import client_step

    return client_step(request)


def retire(request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step ``retire``."""
    from ansible_collections.fleet.tls.plugins.module_utils.steps.retire import retire_step

    return retire_step(request)


STEPS = {"trust": trust, "configure": configure, "tickets": tickets, "client": client, "retire": retire}


def main() -> None:
    """Wire the module; steps are imported late, so that each pays for its own imports only."""
    run_module(STEPS)


if __name__ == "__main__":
    main()
