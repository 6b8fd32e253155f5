# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook runs on hosts of this machine (tests/local), with their store, their issuer or both in OpenBao."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance
from ansible_collections.fleet.tls.plugins.sub_plugins.store.openbao import OpenBaoStore
from bao.mounts import Mount, make_mount
from bao.policies import STORE, allow
from bao.server import Cluster
from local.hosts import PASSPHRASE, Hosts, Site
from tools.playbook import PlaybookResult, run_playbook

P384 = {"private_key": {"algorithm": "ecdsa-p384"}}


class Fleet:
    """Hosts, a store of their own and a PKI mount of their own.

    Every host has ``www`` from the internal CA (whose keys are in the store) and ``api`` from the mount, unless its variables say else.
    """

    def __init__(self, folder: Path, cluster: Cluster, names: list[str]) -> None:
        self.cluster = cluster
        self.hosts = Hosts(folder, {name: ["www", "api"] for name in names}, one_nginx=True)
        self.mount: Mount = make_mount(cluster)
        token = cluster.token(allow(cluster, "store", STORE))
        place = {"path": f"fleet-tls/{uuid.uuid4().hex}", "passphrase": PASSPHRASE}
        self.store: dict[str, Any] = {"type": "openbao", **cluster.options(token), **place}

    def issuers(self, **changes: Any) -> dict[str, Any]:
        """``tls_issuers``; changes are to the one in OpenBao."""
        return {
            "internal": {"type": "ca", "duration": "30d"},
            "bao": {"type": "openbao", "duration": "30d", **self.mount.options(), **changes},
        }

    def certificates(self, host: str, **changes: Any) -> list[dict[str, Any]]:
        """``tls_certificates`` of a host; no services unless ``changes`` say so."""
        www, api = self.hosts.sites[host]
        return [
            www.certificate(**{"services": [], **changes}),
            api.certificate(**{"services": [], "issuer": "bao", **changes}),
        ]

    def inventory(self, hosts: Mapping[str, Mapping[str, Any]] | None = None, **common: Any) -> Path:
        """All hosts, or those of ``hosts`` with changed variables."""
        chosen = hosts if hosts is not None else {name: {} for name in self.hosts.sites}
        variables = {name: {"tls_certificates": self.certificates(name), **changes} for name, changes in chosen.items()}
        return self.hosts.inventory(variables, **{"tls_store": self.store, "tls_issuers": self.issuers(), **common})

    def play(
        self, hosts: Mapping[str, Mapping[str, Any]] | None = None, *args: str, env: Any = None, **common: Any
    ) -> PlaybookResult:
        """Run the task fleet.tls.certificates."""
        return run_playbook(self.hosts.playbook(), self.inventory(hosts, **common), args=args, env=env)

    def rows(self) -> list[Issuance]:
        """The ledger."""
        return list(OpenBaoStore({key: value for key, value in self.store.items() if key != "type"}).issuances())

    def sites(self) -> list[Site]:
        """Of all hosts."""
        return list(self.hosts)
