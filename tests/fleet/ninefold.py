# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with all nine services of ``servers.py``, up and served by the role certificates, and how they are played upon."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint, handshake
from fleet import servers
from fleet.fleet import Fleet
from tools.playbook import PlaybookResult, run_playbook

# Seconds between two handshakes of a watch: dense where not one may be refused, and no load test of a small machine.
DENSE, SPARSE = 0.1, 0.5
PLAY = [{"hosts": "all", "gather_facts": False, "roles": ["fleet.tls.certificates"]}]


@dataclass(frozen=True)
class Ninefold:
    """The hosts of a fleet, each with all nine services."""

    fleet: Fleet
    folder: Path

    def variables(self, wanted: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
        """Of all hosts."""
        return {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_certificates": [server.wanted() for server in servers.SERVERS] if wanted is None else list(wanted),
            "tls_prove_timeout": "30s",
        }

    def run(
        self, wanted: Sequence[dict[str, Any]] | None = None, hosts: Sequence[str] = (), *args: str, **variables: Any
    ) -> PlaybookResult:
        """The role certificates, for all certificates or for these, on all hosts or on these."""
        play = self.folder / "play.yml"
        play.write_text(json.dumps(PLAY), encoding="utf-8")
        known = {name: values for name, values in self.fleet.host_vars().items() if not hosts or name in hosts}
        inventory = self.folder / f"inventory-{threading.get_ident()}.json"
        given = {**self.variables(wanted), **variables}
        inventory.write_text(json.dumps({"all": {"hosts": known, "vars": given}}), encoding="utf-8")
        return run_playbook(play, inventory, args=args)

    def set_up(self) -> None:
        """First certificates, then the services, then the proof."""
        self.run(tls_defer_proof=True).check()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: servers.start(self.fleet, host, servers.SERVERS), self.fleet.addresses))
        self.run().check()

    def served(self, host: str, server: servers.Server) -> str:
        """The leaf (PEM) that a client from outside gets to see, or why it sees none."""
        result = handshake(self.endpoint(host, server))
        return result.chain[0] if result.chain else f"none: {result.error}"

    def endpoint(self, host: str, server: servers.Server, timeout: float = 120) -> Endpoint:
        """Where a client from outside finds a service."""
        port, starttls = server.probe
        return Endpoint(self.fleet.addresses[host], port, server.server_name, timeout, starttls=starttls)

    @contextmanager
    def watching(self, host: str, server: servers.Server) -> Iterator[Watch]:
        """Handshakes from outside, one after the other, as long as the block lasts."""
        watch, over = Watch(), threading.Event()

        def work() -> None:
            while not over.is_set():
                result = handshake(self.endpoint(host, server))
                watch.leaves.append(result.chain[0] if result.chain else "")
                if result.error:
                    watch.refused.append(result.error)
                over.wait(DENSE if server.uninterrupted else SPARSE)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            over.set()
            thread.join(timeout=150)


@dataclass
class Watch:
    """What handshakes showed: leaves (PEM) in their order, and why there was none."""

    leaves: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def seen(self) -> set[str]:
        """The different leaves."""
        return {leaf for leaf in self.leaves if leaf}


def message_of(result: PlaybookResult, host: str) -> str:
    """How the host's task failed."""
    failed: list[Mapping[str, Any]] = [
        each["result"] for each in result.task_results if each["host"] == host and each["status"] == "failed"
    ]
    return str(failed[0]["msg"]) if failed else "it did not fail"
