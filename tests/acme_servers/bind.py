# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BIND on loopback: a primary that takes updates signed with TSIG, and a secondary that follows it."""

from __future__ import annotations

import base64
import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from acme_servers.kerberos import Kerberos
from acme_servers.servers import process
from tools.packages import find
from tools.ports import free_port

ZONE = "example.com"
RECORDS = """\
$TTL 60
@ IN SOA ns root 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
@ IN A 127.0.0.1
* IN A 127.0.0.1
"""
FRAME = """\
options {{
    directory "{folder}"; pid-file "{folder}/named.pid"; session-keyfile none;
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion {recursion}; dnssec-validation no; empty-zones-enable no;
    check-names primary ignore; check-names secondary ignore;
    allow-transfer {{ 127.0.0.1; }}; notify {notify}; {keytab}
}};
controls {{ }};
key "update" {{ algorithm hmac-sha256; secret "{secret}"; }};
"""


@dataclass(frozen=True)
class Bind:
    """Primary and secondary; ``port`` and ``second`` on 127.0.0.1, ``secret`` of the key "update" in base64."""

    port: int
    second: int
    secret: str

    def solver(self, **changes: Any) -> dict[str, Any]:
        """The options of a dns_rfc2136 solver."""
        return {
            "type": "dns_rfc2136",
            "server": f"127.0.0.1:{self.port}",
            "tsig": {"name": "update", "secret": self.secret},
            "authoritative": [f"127.0.0.1:{self.port}", f"127.0.0.1:{self.second}"],
            **changes,
        }

    def add(self, name: str, kind: str, content: str) -> None:
        """A record, as its owner would add it by hand."""
        key = dns.tsig.Key("update", base64.b64decode(self.secret), "hmac-sha256")
        message = dns.update.UpdateMessage(ZONE, keyring={key.name: key})
        message.replace(dns.name.from_text(name), 60, kind, content)
        answer = dns.query.tcp(message, "127.0.0.1", port=self.port, timeout=20)
        assert answer.rcode() == dns.rcode.NOERROR, answer

    def texts(self, name: str, port: int | None = None) -> list[str]:
        """The TXT records of a name, by one of the two."""
        answer = dns.query.tcp(dns.message.make_query(name, "TXT"), "127.0.0.1", port=port or self.port, timeout=10)
        found = [each for rrset in answer.answer if rrset.rdtype == dns.rdatatype.TXT for each in rrset]
        return sorted(b"".join(each.strings).decode() for each in found)


@contextlib.contextmanager
def running(
    folder: Path,
    *,
    notify: bool = True,
    addresses: Mapping[str, str] | None = None,
    zones: Sequence[str] = (ZONE,),
    records: str = "",
    forward: Mapping[str, int] | None = None,
    kerberos: Kerberos | None = None,
) -> Iterator[Bind]:
    """Both of them.

    :param addresses: names below the zone whose address is not 127.0.0.1.
    :param notify: whether the secondary hears of updates; else it follows only when the test restarts it.
    :param zones: what they are authoritative for.
    :param records: more lines of the zones.
    :param forward: other zones, and the ports of their servers, whom to ask for what lies in them.
    :param kerberos: whose tickets the primary takes as well.
    """
    bind = Bind(free_port(), free_port(), base64.b64encode(secrets.token_bytes(32)).decode())
    tell = f"notify explicit; also-notify {{ 127.0.0.1 port {bind.second}; }};" if notify else "notify no;"
    grants = "grant update zonesub ANY;" + (f' grant "{kerberos.principal}" zonesub TXT;' if kerberos else "")
    roles = {
        bind.port: f"type primary; update-policy {{ {grants} }}; {tell}",
        bind.second: f"type secondary; primaries {{ 127.0.0.1 port {bind.port}; }}; allow-notify {{ any; }};",
    }
    elsewhere = "".join(
        f'zone "{zone}" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {port}; }}; }};\n'
        for zone, port in (forward or {}).items()
    )
    with contextlib.ExitStack() as stack:
        for port, role in roles.items():
            mine = folder / str(port)
            mine.mkdir(parents=True)
            text = FRAME.format(
                folder=mine,
                port=port,
                notify="no",
                secret=bind.secret,
                recursion="yes" if forward else "no",
                keytab=f'tkey-gssapi-keytab "{kerberos.keytab}";' if kerberos else "",
            )
            for number, zone in enumerate(zones):
                text += f'zone "{zone}" {{ file "zone-{number}"; {role} }};\n'
                if port == bind.port:
                    known = "".join(f"{name} IN A {address}\n" for name, address in (addresses or {}).items())
                    (mine / f"zone-{number}").write_text(RECORDS + known + records)
            (mine / "named.conf").write_text(text + elsewhere)
            command = [find("named") or "named", "-g", "-c", str(mine / "named.conf"), "-U", "1"]
            stack.enter_context(process(command, mine / "log", port, env=kerberos.server if kerberos else None))
            await_zones(port, zones)
        yield bind


def await_zones(port: int, zones: Sequence[str]) -> None:
    """Until the server knows its zones: it listens before it has read them, or has them from the primary.

    :raises AssertionError: it does not come to it in minutes.
    """
    end = time.monotonic() + 300
    for zone in zones:
        query = dns.message.make_query(zone, "SOA")
        while not dns.query.tcp(query, "127.0.0.1", port=port, timeout=300).answer:
            assert time.monotonic() < end, f"the server on port {port} has no zone {zone}"
            time.sleep(0.05)
