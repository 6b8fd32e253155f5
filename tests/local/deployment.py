# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of this machine with all that fleet.tls.deploy can give one: certificates, trust, ticket keys, nginx with sites, an mTLS client."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import HandshakeError, served_leaf
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from tools.playbook import PlaybookResult, run_playbook
from tools.ports import free_port


class DeployedHost:
    """One of them.

    :param folder: all that it has, with an nginx of its own.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.nginx = NginxService(folder / "nginx")
        self.port, self.guarded = free_port(), free_port()
        self.tls = folder / "fleet-tls"

    @property
    def domain(self) -> str:
        """The name of its certificates."""
        return f"{self.name}.example.com"

    def variables(self) -> dict[str, Any]:
        """What the inventory says about it."""
        service = self.nginx.described()
        site = {"server_names": [self.domain], "certificate": "www", "root": "/srv"}
        wanted = {"issuer": "internal", "dns_names": [self.domain]}
        endpoint = {"host": "127.0.0.1", "port": self.guarded, "server_name": self.domain}
        return {
            "tls_directory": str(self.tls),
            # Variables may ask what the host is.
            "tls_trust_bundles": "{{ [{'path': '%s'}] if ansible_facts.fleet_tls_host.family | default('') else [] }}"
            % (self.folder / "bundle.pem"),
            "tls_certificates": [
                {"name": "www", **wanted},
                {"name": "other", **wanted},
                {"name": "app", **wanted, "usages": ["client_auth"]},
            ],
            "tls_sites": [
                {"name": "www", **site, "listen": [f"127.0.0.1:{self.port}"]},
                {"name": "api", **site, "listen": [f"127.0.0.1:{self.guarded}"], "client_auth": "required"},
            ],
            "tls_nginx_directory": str(self.nginx.folder),
            "tls_nginx_service": service,
            "tls_session_tickets": True,
            "tls_session_ticket_location": "disk",
            "tls_session_ticket_servers": [
                {"server": "nginx", "service": {**service, "endpoints": [f"127.0.0.1:{self.port}"]}}
            ],
            "tls_clients": [
                {
                    "certificate": "app",
                    "bundle": {"path": str(self.folder / "app-ca.pem")},
                    "endpoints": [endpoint],
                }
            ],
        }

    def live(self, name: str = "www") -> str:
        """SHA-256 of a live leaf, as the manifest has it."""
        return str(json.loads((self.tls / "live" / name / "manifest.json").read_text())["fingerprint"])

    def served(self) -> str | None:
        """SHA-256 of what its site serves; None: nothing."""
        with contextlib.suppress(HandshakeError):
            return hashlib.sha256(served_leaf("127.0.0.1", self.port, self.domain, 30)).hexdigest()
        return None


class Deployment:
    """So many hosts, with one store."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.hosts = {name: DeployedHost(name, folder / name) for name in names}
        self.passphrase = secrets.token_hex(16)

    @contextlib.contextmanager
    def running(self) -> Iterator[Deployment]:
        """With the hosts' nginx."""
        with contextlib.ExitStack() as stack:
            for host in self.hosts.values():
                stack.enter_context(host.nginx)
            yield self

    def inventory(self, changes: Mapping[str, Mapping[str, Any]] | None = None, **common: Any) -> Path:
        """Write the inventory.

        :param changes: host → variables that are not as usual.
        :param common: the same for all of them.
        """
        known = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_store": {"path": str(self.store), "passphrase": self.passphrase},
            "tls_issuers": {"internal": {"type": "ca"}},
            "tls_trust_system": False,
            "tls_prove_timeout": "60s",
        }
        hosts = {name: {**host.variables(), **(changes or {}).get(name, {})} for name, host in self.hosts.items()}
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": {**known, **common}}}))
        return path

    def deploy(
        self,
        *args: str,
        playbook: str | Path = "fleet.tls.deploy",
        extra: Any = None,
        env: Mapping[str, str] | None = None,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        **common: Any,
    ) -> PlaybookResult:
        """The playbook; the rest is as :meth:`inventory` has it.

        :param playbook: another one that has it in it.
        """
        return run_playbook(playbook, self.inventory(changes, **common), extra, args, env)


def due(result: PlaybookResult) -> dict[str, list[str]]:
    """Host → the parts that were due for it."""
    found = [each for each in result.task_results if each["action"] == "fleet.tls.due_parts"]
    return {each["host"]: list(each["result"].get("due", ["failed"])) for each in found}
