#!/usr/bin/python
# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_step
short_description: One step of another task of this collection, on the host (internal)
version_added: 0.1.0
description:
  - What the actions of this collection run on a host. Use M(fleet.tls.certificates), M(fleet.tls.trust_bundle),
    M(fleet.tls.service_config), M(fleet.tls.host_facts), M(fleet.tls.certificate_info)
    or M(fleet.tls.probe) instead; requests and answers may change with every release.
  - Needs nothing on the host but Python and, where keys are made, the C(openssl) program.
author:
  - fleet.tls contributors (@fleet-tls)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
options:
  step:
    description: Which step.
    type: str
    required: true
    choices: [look, apply, trust, configure, tickets, facts, client, prove, handshake, challenge, files]
  request:
    description: What is asked for, as described in C(docs/host-protocol.md) of the collection.
    type: dict
    required: true
  secrets:
    description:
      - Private keys (PEM) by certificates' or canaries' names, where the controller made them.
      - For the step V(tickets), session ticket keys (base64) by their places in the ring.
      - For the step V(files), passphrases of keys and keystores.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Shake hands with an endpoint from the host (use fleet.tls.probe instead)
  fleet.tls.host_step:
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

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error

STEPS = (
    "look",
    "apply",
    "trust",
    "configure",
    "tickets",
    "facts",
    "client",
    "prove",
    "handshake",
    "challenge",
    "files",
)


def run_step(step: str, request: dict[str, Any], secrets: Mapping[str, str]) -> tuple[bool, dict[str, Any]]:
    """Whether the step changed anything, and its answer. Steps are imported late: each pays for its own imports only."""
    if step == "look":
        from ansible_collections.fleet.tls.plugins.module_utils.look import look_step

        return look_step(request)
    if step == "apply":
        from ansible_collections.fleet.tls.plugins.module_utils.apply import apply_step

        return apply_step(request, dict(secrets))
    if step == "trust":
        from ansible_collections.fleet.tls.plugins.module_utils.trust import trust_step

        return trust_step(request)
    if step == "client":
        from ansible_collections.fleet.tls.plugins.module_utils.client import client_step

        return client_step(request)
    if step == "configure":
        from ansible_collections.fleet.tls.plugins.module_utils.configure import configure_step

        return configure_step(request)
    if step == "prove":
        from ansible_collections.fleet.tls.plugins.module_utils.prove import prove_step

        return prove_step(request, secrets)
    if step == "tickets":
        from ansible_collections.fleet.tls.plugins.module_utils.ticket_keys import tickets_step

        return tickets_step(request, dict(secrets))
    if step == "facts":
        from ansible_collections.fleet.tls.plugins.module_utils.host_facts import facts_step

        return facts_step(request)
    if step == "challenge":
        from ansible_collections.fleet.tls.plugins.module_utils.challenge import challenge_step

        return challenge_step(request)
    if step == "files":
        from ansible_collections.fleet.tls.plugins.module_utils.certificate_files import files_step

        return files_step(request, secrets)
    from ansible_collections.fleet.tls.plugins.module_utils.handshake import handshake_step

    return handshake_step(request)


def main() -> None:
    """Wire the module."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "required": True, "choices": list(STEPS)},
            "request": {"type": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
        # Keeps requests, which may hold whole configuration files, out of the host's system log.
        no_log=True,
    )
    try:
        changed, answer = run_step(module.params["step"], module.params["request"], module.params["secrets"])
    except StepError as error:
        changed, answer = False, {"error": error.as_answer()}
    except OSError as error:
        found = from_os_error(error, "step {0}".format(module.params["step"]))
        changed, answer = False, {"error": found.as_answer()}
    # Without this the whole request would travel back.
    module.exit_json(changed=changed, answer=answer, invocation={})


if __name__ == "__main__":
    main()
