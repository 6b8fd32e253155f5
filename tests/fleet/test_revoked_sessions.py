# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A listener of one's own that verifies its clients and gives them tickets all the same: a revocation ends their sessions, too."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.fleet import Fleet, Host
from fleet.ticket_pool import TICKETS, VERSIONS, Pool, make_context, set_up

PORT = 9444
LISTENER = f"""
server {{
    listen {PORT} ssl;
    server_name pool.test;
    ssl_certificate /etc/pool/both.pem;
    ssl_certificate_key /etc/pool/both.pem;
    ssl_verify_client on;
    ssl_verify_depth 4;
    ssl_client_certificate /etc/nginx/fleet-tls/clients.pem;
    ssl_crl /etc/nginx/fleet-tls/clients.crl.pem;
    {TICKETS}
    return 200;
}}
"""
VARIABLES: dict[str, Any] = {
    "tls_issuers": {"internal": {"type": "ca"}},
    "tls_certificates": [
        {"name": name, "issuer": "internal", "dns_names": [f"{name}.test"], "usages": ["client_auth"]}
        for name in ("good", "bad")
    ],
    "tls_trust_system": False,
    # The CAs and CRLs for servers of one's own.
    "tls_nginx": True,
    "tls_sites": [],
    "tls_client_auth": "required",
    "tls_session_timeout": "10m",
    "tls_session_ticket_servers": [{"server": "nginx", "endpoints": ["127.0.0.1:443"]}],
}


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with Fleet("revoked", hosts=(Host("edge1", "bookworm"),)) as fleet:
        made = set_up(fleet, tmp_path)
        made.run("fleet.tls.deploy", **VARIABLES).check()
        fleet.exec("edge1", ["tee", "/etc/nginx/conf.d/own.conf"], stdin=LISTENER)
        fleet.exec("edge1", ["systemctl", "reload", "nginx"])
        yield made


def client(pool: Pool, name: str, version: ssl.TLSVersion) -> ssl.SSLContext:
    """With the host's own pair."""
    live = f"/etc/fleet-tls/live/{name}"
    pair = pool.folder / f"{name}.pem"
    pair.write_text(pool.fleet.exec("edge1", ["cat", f"{live}/fullchain.pem", f"{live}/privkey.pem"]).stdout)
    context = make_context(version)
    context.load_cert_chain(pair)
    return context


def ask(
    pool: Pool, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[str, bool, ssl.SSLSession | None]:
    """HTTP's status, whether ``session`` was resumed, and the session there is."""
    with socket.create_connection((pool.fleet.addresses["edge1"], PORT), 20) as plain:
        with context.wrap_socket(plain, server_hostname="pool.test", session=session) as tls:
            tls.sendall(b"GET / HTTP/1.0\r\nHost: pool.test\r\n\r\n")
            answer = b""
            while more := tls.recv(4096):
                answer += more
            return answer[9:12].decode(), bool(tls.session_reused), tls.session


def test_the_ring_of_such_a_pool_is_replaced_with_the_crls(pool: Pool) -> None:
    clients = {(name, version): client(pool, name, version) for name in ("good", "bad") for version in VERSIONS}
    sessions = {}
    for each, context in clients.items():
        status, _resumed, session = ask(pool, context)
        assert status == "200"
        assert ask(pool, context, session)[:2] == ("200", True)
        sessions[each] = session
    shutil.copytree(pool.folder / "store", pool.folder / "backup")
    generation = pool.record["generation"]
    given = {**VARIABLES, "tls_revoke_names": ["bad"]}
    # Without being told, a pool is left alone: a ring that only serves everybody has nothing to do with it.
    told = pool.run("fleet.tls.revoke", "--check", **given, tls_session_ticket_clients=True).check()
    assert "all keys are replaced" in told.stdout and pool.record["generation"] == generation
    pool.run("fleet.tls.revoke", **given, tls_session_ticket_clients=True).check()
    assert pool.record["generation"] == generation + 1
    for (name, version), context in clients.items():
        status = "400" if name == "bad" else "200"
        assert ask(pool, context, sessions[name, version])[:2] == (status, False), (name, version)
        assert ask(pool, context)[0] == status, (name, version)
    generation = pool.record["generation"]
    pool.run("fleet.tls.revoke", **given).check()
    assert pool.record["generation"] == generation
    restore_whole(pool)
    # Rings notice an older store by themselves; here it is about the CRLs.
    restored = pool.run("fleet.tls.deploy", **VARIABLES, tls_session_tickets=False).check()
    assert "Was the store restored from an older copy?" in str(restored.task_results)
    assert {each: ask(pool, context)[0] for each, context in clients.items()} == {
        (name, version): "400" if name == "bad" else "200" for name, version in clients
    }
    again = pool.run("fleet.tls.deploy", **VARIABLES, tls_session_tickets=False).check()
    assert again.changed == 0 and "older copy" not in str(again.task_results)


def restore_whole(pool: Pool) -> None:
    """The whole store as it was before the revocation."""
    store = pool.folder / "store"
    shutil.rmtree(store)
    shutil.copytree(pool.folder / "backup", store)
