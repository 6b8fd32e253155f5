# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pebble, Let's Encrypt's small ACME CA for tests, with its nonce rejection as it comes."""

from __future__ import annotations

import contextlib
import json
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acme_servers.servers import Pair, process
from tools.ports import free_port


@dataclass(frozen=True)
class Pebble:
    """One that runs.

    :param port: of its ACME side.
    :param management: port of the side that hands out its roots.
    :param pair: what its TLS shows.
    :param http_port: where it looks for http-01.
    """

    port: int
    management: int
    pair: Pair
    http_port: int
    log: Path

    @property
    def directory_url(self) -> str:
        """Its directory."""
        return f"https://127.0.0.1:{self.port}/dir"

    def root(self, number: int = 0) -> str:
        """The root that its certificates lead to (PEM); each start makes new ones."""
        context = ssl.create_default_context(cafile=str(self.pair.root))
        url = f"https://127.0.0.1:{self.management}/roots/{number}"
        with urllib.request.urlopen(url, context=context, timeout=300) as answer:
            return str(answer.read().decode())

    def lines(self, text: str) -> list[str]:
        """Lines of its log with this text."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if text in line]

    @property
    def orders(self) -> int:
        """How many orders it has made."""
        return len(self.lines("Added order"))

    @property
    def certificates(self) -> int:
        """How many certificates it has issued."""
        return len(self.lines("Issued certificate serial"))


@contextlib.contextmanager
def running(
    folder: Path,
    pair: Pair,
    *,
    http_port: int | None = None,
    dns: str | None = None,
    env: dict[str, str] | None = None,
    **config: Any,
) -> Iterator[Pebble]:
    """Pebble on free ports.

    :param dns: ``address:port`` of the DNS server that it asks; None: one that answers every name with 127.0.0.1.
    :param env: its own settings, such as PEBBLE_ALTERNATE_ROOTS.
    :param config: more of its configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pebble = Pebble(free_port(), free_port(), pair, http_port or free_port(), folder / "pebble.log")
    settings = {
        "listenAddress": f"127.0.0.1:{pebble.port}",
        "managementListenAddress": f"127.0.0.1:{pebble.management}",
        "certificate": str(pair.certificate),
        "privateKey": str(pair.key),
        "httpPort": pebble.http_port,
        "tlsPort": free_port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        **config,
    }
    path = folder / "pebble.json"
    path.write_text(json.dumps({"pebble": settings}))
    with contextlib.ExitStack() as stack:
        server = dns or stack.enter_context(name_server(folder))
        command = ["pebble", "-config", str(path), "-dnsserver", server]
        variables = {"PEBBLE_VA_NOSLEEP": "1", **(env or {})}
        stack.enter_context(process(command, pebble.log, pebble.port, env=variables))
        yield pebble


@contextlib.contextmanager
def name_server(folder: Path) -> Iterator[str]:
    """pebble-challtestsrv as a DNS server that knows every name as 127.0.0.1; yields its address and port."""
    port, management = free_port(), free_port()
    off = [f"-{each}=" for each in ("http01", "https01", "tlsalpn01", "defaultIPv6")]
    command = ["pebble-challtestsrv", f"-dns01=127.0.0.1:{port}", f"-management=127.0.0.1:{management}", *off]
    with process(command, folder / "challtestsrv.log", management):
        yield f"127.0.0.1:{port}"
