"""PowerDNS on loopback, with its HTTP API and one zone in SQLite."""

from __future__ import annotations

import contextlib
import json
import secrets
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acme_servers.servers import process
from tools.packages import find
from tools.ports import free_port

SCHEMA = Path("/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql")
CONFIG = """\
launch=gsqlite3
gsqlite3-database={folder}/zones.sqlite3
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
api=yes
api-key={key}
webserver=yes
webserver-address=127.0.0.1
webserver-port={api}
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
"""


@dataclass(frozen=True)
class PowerDns:
    """One that runs. ``key``: of its API, a secret."""

    port: int
    api: int
    key: str

    def solver(self, **changes: Any) -> dict[str, Any]:
        """The options of a dns_lexicon solver."""
        return {
            "type": "dns_lexicon",
            "provider": "powerdns",
            "options": {"pdns-server": f"http://127.0.0.1:{self.api}", "auth-token": self.key},
            "zones": ["example.com"],
            "authoritative": [f"127.0.0.1:{self.port}"],
            "resolvers": [f"127.0.0.1:{self.port}"],
            **changes,
        }

    def ask(self, path: str, content: Any = None) -> Any:
        """Its API."""
        body = None if content is None else json.dumps(content).encode()
        url = f"http://127.0.0.1:{self.api}/api/v1/servers/localhost{path}"
        request = urllib.request.Request(url, body, {"X-API-Key": self.key, "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.loads(answer.read() or b"null")

    def texts(self) -> list[str]:
        """All TXT records."""
        sets = self.ask("/zones/example.com.")["rrsets"]
        return sorted(each["content"] for found in sets if found["type"] == "TXT" for each in found["records"])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[PowerDns]:
    """One with the zone example.com."""
    import sqlite3

    server = PowerDns(free_port(), free_port(), secrets.token_hex(16))
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(folder / "zones.sqlite3")) as database:
        database.executescript(SCHEMA.read_text())
    config = CONFIG.format(folder=folder, port=server.port, api=server.api, key=server.key)
    (folder / "pdns.conf").write_text(config)
    command = [
        find("pdns_server") or "pdns_server",
        f"--config-dir={folder}",
        "--guardian=no",
        "--daemon=no",
        "--write-pid=no",
    ]
    with process(command, folder / "log", server.api):
        server.ask("/zones", {"name": "example.com.", "kind": "Native", "nameservers": ["ns.example.com."]})
        yield server
