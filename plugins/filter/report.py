# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``fleet.tls.health_report``; it is documented in a file of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render


def health_report(health: Any, format: Any = "terminal") -> str:
    """See health_report.yml."""
    try:
        return render(health, format)
    except TlsError as error:
        raise AnsibleFilterError(f"fleet.tls.health_report: {error}") from None


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"health_report": health_report}
