# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters ``fleet.tls.expiry_rows`` and ``fleet.tls.expiry_table``; each is documented in a file of its name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils import report
from ansible_collections.fleet.tls.plugins.plugin_utils.durations import parse_renew_before
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import TlsError


def expiry_rows(looks: Any, threshold: Any = "14d") -> list[dict[str, Any]]:
    """See expiry_rows.yml."""
    if not isinstance(looks, Mapping):
        raise AnsibleFilterError("fleet.tls.expiry_rows needs a mapping of hosts to results")
    try:
        return report.rows(looks, parse_renew_before(threshold, "threshold"), dt.datetime.now(dt.timezone.utc))
    except TlsError as error:
        raise AnsibleFilterError(f"fleet.tls.expiry_rows: {error}") from None


def expiry_table(rows: Any) -> list[str]:
    """See expiry_table.yml."""
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, Mapping) for row in rows):
        raise AnsibleFilterError("fleet.tls.expiry_table needs a list of mappings")
    return report.table(rows)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"expiry_rows": expiry_rows, "expiry_table": expiry_table}
