# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters ``fleet.tls.health``, ``health_table``, ``health_failures`` and ``health_failed_hosts``; each is documented in a file of its name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import require_cryptography
from ansible_collections.fleet.tls.plugins.plugin_utils.report import table as report
from ansible_collections.fleet.tls.plugins.plugin_utils.report.permits import permit_lines


def health(
    looks: Any,
    files: Any = None,
    probes: Sequence[Any] = (),
    wanted: Any = None,
    store: Any = None,
    anchors: Any = None,
    threshold: Any = None,
    interval: Any = "1d",
    ring_age: Any = "7d",
    quantum_vulnerable: Any = False,
) -> dict[str, Any]:
    """See health.yml."""
    try:
        require_cryptography()
        from ansible_collections.fleet.tls.plugins.plugin_utils.health.task_results import document_of

        return document_of(
            looks,
            files or {},
            list(probes),
            wanted or {},
            store or {},
            anchors or {},
            threshold=threshold,
            interval=interval,
            ring_age=ring_age,
            quantum_vulnerable=quantum_vulnerable,
            now=dt.datetime.now(dt.timezone.utc),
        )
    except TlsError as error:
        raise AnsibleFilterError(f"fleet.tls.health: {error}") from None


def health_table(document: Any) -> list[str]:
    """See health_table.yml."""
    known = checked(document, "health_table")
    return [*report.table(report.rows(known)), *permit_lines(known)]


def health_failures(document: Any, host: Any = None, fail_on: Any = "warning") -> list[str]:
    """See health_failures.yml."""
    from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import failing, failing_texts

    try:
        severities = failing(str(fail_on))
    except TlsError as error:
        raise AnsibleFilterError(f"fleet.tls.health_failures: {error}") from None
    return failing_texts(checked(document, "health_failures"), None if host is None else str(host), severities)


def health_failed_hosts(document: Any, fail_on: Any) -> dict[str, list[str]]:
    """See health_failed_hosts.yml."""
    from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import failed_hosts

    if not isinstance(fail_on, Mapping):
        raise AnsibleFilterError("fleet.tls.health_failed_hosts needs a mapping of hosts to severities")
    return failed_hosts(checked(document, "health_failed_hosts"), fail_on)


def checked(document: Any, name: str) -> Mapping[str, Any]:
    """The document.

    :raises AnsibleFilterError: it is none.
    """
    if not isinstance(document, Mapping) or "findings" not in document or "certificates" not in document:
        raise AnsibleFilterError(f"fleet.tls.{name} needs a health document, as fleet.tls.health returns it")
    return document


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {
            "health": health,
            "health_table": health_table,
            "health_failures": health_failures,
            "health_failed_hosts": health_failed_hosts,
        }
