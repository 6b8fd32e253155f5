# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests ``fleet.tls.expired`` and ``fleet.tls.expiring``; each is documented in a file of its name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleTemplatePluginError

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_renew_before
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import require_cryptography
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import validity_of


def expired(value: Any) -> bool:
    """See expired.yml."""
    try:
        require_cryptography()
        return validity_of(value).expired(dt.datetime.now(dt.timezone.utc))
    except TlsError as error:
        raise AnsibleTemplatePluginError(f"fleet.tls.expired: {error}") from None


def expiring(value: Any, within: Any) -> bool:
    """See expiring.yml."""
    try:
        require_cryptography()
        return validity_of(value).expiring(parse_renew_before(within, "within"), dt.datetime.now(dt.timezone.utc))
    except TlsError as error:
        raise AnsibleTemplatePluginError(f"fleet.tls.expiring: {error}") from None


class TestModule:
    """What Ansible looks for."""

    __test__ = False  # for pytest it is none

    def tests(self) -> dict[str, Callable[..., bool]]:
        """The tests of this file."""
        return {"expired": expired, "expiring": expiring}
