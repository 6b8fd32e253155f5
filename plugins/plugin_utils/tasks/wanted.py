# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says about hosts, as far as a deployment reads it, without rendering it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ansible.parsing.vault import VaultHelper

from ansible_collections.fleet.tls.plugins.plugin_utils.spec.wishes import digest_of_wishes
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.role_tasks import specified

ROLES = (
    "certificates",
    "ca",
    "trust",
    "session_tickets",
    "nginx",
    "apache",
    "haproxy",
    "publish_ca",
    "clients",
    "retire",
)
# Those of the playbook itself. Without any of these a host is passed over.
CONCERNING = frozenset(
    {
        "tls_certificates",
        "tls_issuers",
        "tls_trust_anchors",
        "tls_trust_issuers",
        "tls_trust_system",
        "tls_session_tickets",
        "tls_web_server",
        "tls_nginx",
        "tls_sites",
        "tls_clients",
        "tls_publish_ca",
    }
)
# A host that has moved is another machine, for all that is known.
ADDRESS = frozenset({"ansible_host", "ansible_port"})
# They say how a single run is to go, with -e.
OF_ONE_RUN = frozenset({"tls_defer_proof", "tls_force", "tls_ignore_clocks", "tls_ledger_lost", "tls_rekey"})


@cache
def names_read() -> frozenset[str]:
    """The variables that fleet.tls.deploy reads, and where the host is."""
    return frozenset(name for role in ROLES for name in specified(role)) - OF_ONE_RUN | CONCERNING | ADDRESS


def raw_variables(variables: Mapping[str, Any], host: str) -> Mapping[str, Any]:
    """A host's variables as they are written, those of a play left out: so they are the same in each playbook.

    :param variables: of a task.
    """
    return variables["hostvars"].raw_get(host)  # type: ignore[no-any-return]


def wishes_of(variables: Mapping[str, Any]) -> str:
    """The digest of the task's own host, see ``wishes.py``."""
    return digest_of(raw_variables(variables, variables["inventory_hostname"]))


def digest_of(raw: Mapping[str, Any], names: frozenset[str] | None = None) -> str:
    """The digest of a host.

    :param raw: of :func:`raw_variables`.
    :param names: of variables; None: all that a deployment reads.
    """
    return digest_of_wishes(raw, names or names_read(), ciphertext)


def ciphertext(value: Any) -> str | None:
    """What Ansible Vault made of a value; None: it is not encrypted."""
    return VaultHelper.get_ciphertext(value, with_tags=False)
