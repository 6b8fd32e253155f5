# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks of the parts have come to, after the visit that they shared. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.parts import Outlook, outlook_of
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import HostFacts, parse_host_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import SecondQuestion, SharedTask

UNKNOWN_HOST = Outlook("nobody knows yet what the host is")
OTHER_HOST = Outlook("the host is not what it was")
WRONG_CLOCK = Outlook("a clock is wrong: the host's or the controller's")


def outlook_of_task(task: SharedTask) -> Outlook:
    """Its outlook, now that it has ended."""
    if task.error is None:
        return outlook_of(task.result)
    if isinstance(task.error, SecondQuestion):
        return Outlook("it would do more than look")
    return Outlook(str(task.error) if isinstance(task.error, TlsError) else f"it fails ({type(task.error).__name__})")


def told_facts(tasks: Mapping[str, SharedTask]) -> HostFacts | None:
    """What the host said of itself in this visit."""
    for name in ("certificates", "facts"):
        result = tasks[name].result if name in tasks else None
        told = (result or {}).get("ansible_facts", {}).get("fleet_tls_host")
        if told:
            return parse_host_facts(told)
    return None


def differ(told: HostFacts, known: HostFacts | None) -> bool:
    """Whether a host is another one than its server's configuration was rendered for, which does not ask whom the system trusts."""
    return known is None or dataclasses.replace(told, trusts_ours=known.trusts_ours) != known
