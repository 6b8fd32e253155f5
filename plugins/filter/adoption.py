# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters ``fleet.tls.adoption_documents`` and ``adoption_table``; each is documented in a file of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.adoption.document import documents, table
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError


def told(name: str, make: Callable[[Mapping[str, Any]], Any]) -> Callable[[Any], Any]:
    """A filter that has one of these made of the results of hosts."""

    def use(results: Any) -> Any:
        if not isinstance(results, Mapping):
            raise AnsibleFilterError(f"fleet.tls.{name}: this is not a mapping of hosts to results")
        try:
            return make(results)
        except TlsError as error:
            raise AnsibleFilterError(f"fleet.tls.{name}: {error}") from None

    return use


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name → function."""
        return {
            "adoption_documents": told("adoption_documents", documents),
            "adoption_table": told("adoption_table", table),
        }
