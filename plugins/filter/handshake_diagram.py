# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``fleet.tls.handshake_diagram``, documented in the file of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace_diagram import DEFAULT_WIDTH, diagram


def handshake_diagram(shown: Any, width: Any = DEFAULT_WIDTH) -> list[str]:
    """See handshake_diagram.yml."""
    if not isinstance(shown, Mapping):
        raise AnsibleFilterError("fleet.tls.handshake_diagram needs a mapping: an entry of a probe's endpoints")
    try:
        return diagram(shown, int(width))
    except (TlsError, ValueError, TypeError, KeyError) as error:
        raise AnsibleFilterError(f"fleet.tls.handshake_diagram: {error}") from None


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"handshake_diagram": handshake_diagram}
