# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that web servers' templates are made with; each is documented in a file of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.thumbprint import account_thumbprint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.upstream_trust import upstream_bundles
from ansible_collections.fleet.tls.plugins.plugin_utils.web.client_names import client_names_program, header_spellings
from ansible_collections.fleet.tls.plugins.plugin_utils.web.listeners import group_listeners, site_claims
from ansible_collections.fleet.tls.plugins.plugin_utils.web.profiles import expand_profile


def translated(work: Callable[..., Any]) -> Callable[..., Any]:
    """Our errors as Ansible's."""

    def call(*args: Any, **options: Any) -> Any:
        try:
            return work(*args, **options)
        except TlsError as error:
            raise AnsibleFilterError(str(error)) from error

    return call


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {
            "acme_thumbprint": translated(account_thumbprint),
            "client_names_program": translated(client_names_program),
            "header_spellings": translated(header_spellings),
            "listeners": translated(group_listeners),
            "site_claims": translated(site_claims),
            "profile": translated(expand_profile),
            "upstream_bundles": translated(upstream_bundles),
        }
