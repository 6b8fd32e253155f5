# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad luck on every one of the nine services, on real hosts: the run fails with the reason, and all of them go on serving what they served.

Each kind of it meets all services of both hosts in one run, while a client from outside shakes hands with every one of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority
from fleet import servers
from fleet.broken_controller import Damage, mismatched, see_refused, wanted_install
from fleet.ninefold import Ninefold, Watch
from fleet.servers import SERVERS
from tools.playbook import PlaybookResult

HOSTS = ("nine12", "nine13")
SQUATTER = f"import socket, time; s = socket.create_server(('', {servers.TAKEN_PORT})); time.sleep(3600)"


@contextlib.contextmanager
def watching(nine: Ninefold) -> Iterator[dict[tuple[str, str], Watch]]:
    """Handshakes with every service of both hosts. Afterwards: those that promise it have refused none, and what was served is served."""
    before = {(host, server.name): nine.served(host, server) for host in HOSTS for server in SERVERS}
    assert all("BEGIN" in leaf for leaf in before.values())
    with contextlib.ExitStack() as stack:
        watches = {
            (host, server.name): stack.enter_context(nine.watching(host, server))
            for host in HOSTS
            for server in SERVERS
        }
        yield watches
    for (host, name), watch in watches.items():
        assert watch.seen == {before[host, name]}, (host, name)
        assert not watch.refused or not servers.BY_NAME[name].uninterrupted, (host, name, watch.refused[:3])
        assert nine.served(host, servers.BY_NAME[name]) == before[host, name]


@pytest.fixture
def squatter(nine: Ninefold) -> Iterator[None]:
    """Another process on the port that services are about to want."""
    for host in HOSTS:
        nine.fleet.exec(host, ["systemd-run", "--unit", "squatter", "--collect", "python3", "-c", SQUATTER])
    yield
    for host in HOSTS:
        nine.fleet.exec(host, ["systemctl", "stop", "squatter"])


def errors(result: PlaybookResult, host: str) -> dict[str, dict[str, Any]]:
    """Certificate → its error, of a run that failed."""
    (found,) = result.results(host=host, action="fleet.tls.certificates")
    assert result.stats[host]["failures"] == 1
    return {each["name"]: each["error"] or {} for each in found["certificates"]}


def test_a_typo_of_the_administrator(nine: Ninefold) -> None:
    with servers.changed_files(nine.fleet, [server.typo for server in SERVERS]), watching(nine):
        failed = nine.run(tls_force=True)
    for host in HOSTS:
        for name, error in errors(failed, host).items():
            assert error["code"] == "validate_failed", (host, name, error)
            assert error["message"].startswith(f"service '{name}': "), error
            words = servers.BY_NAME[name].typo[1].split()[0].rstrip(";")
            # In the server's own words; nginx and Postfix name the line, caddy what it read instead.
            assert words in error["message"] or "line" in error["message"] or "Caddyfile" in error["message"], error
    assert nine.run().check().changed == 0


@pytest.mark.usefixtures("squatter")
def test_a_port_that_somebody_else_has(nine: Ninefold) -> None:
    """Configured by the administrator beside ours where a reload would take it, else named as an endpoint."""
    wanted = []
    for server in SERVERS:
        extra = () if server.listen else (f"127.0.0.1:{servers.TAKEN_PORT}",)
        wanted.append(replace(server, endpoints=(*server.endpoints, *extra)).wanted())
    with servers.changed_files(nine.fleet, [server.listen for server in SERVERS]), watching(nine):
        failed = nine.run(wanted, tls_force=True)
    for host in HOSTS:
        for name, error in errors(failed, host).items():
            assert error["code"] == "port_taken", (host, name, error)
            assert f"port {servers.TAKEN_PORT}" in error["message"] and "held by 'python3'" in error["message"], error
    assert nine.run().check().changed == 0


def test_a_key_that_its_service_cannot_read(nine: Ninefold) -> None:
    """Where root reads it any owner will do; all others are refused before anything is touched."""
    wanted = [server.wanted(owner="root", mode="0600") for server in SERVERS if server.owner != "root"]
    with watching(nine):
        failed = nine.run(wanted, tls_force=True)
    for host in HOSTS:
        found = errors(failed, host)
        assert len(found) == 4
        for name, error in found.items():
            owner = servers.BY_NAME[name].owner
            assert error["code"] == "key_unreadable", (host, name, error)
            assert "privkey.pem is root:root 0600" in error["message"] and error["remedy"]
            assert f"its user '{owner}' cannot read the private key" in error["message"] or name == "postgresql"
    # PostgreSQL would not take this one, though it could read it.
    group = [servers.BY_NAME["postgresql"].wanted(owner="redis", group="postgres", mode="0640")]
    error = errors(nine.run(group, ["nine13"], tls_force=True), "nine13")["postgresql"]
    assert error["code"] == "key_unreadable" and "it takes a key only when it is" in error["message"]
    nine.run().check()


def test_owners_and_modes_that_somebody_changed(nine: Ninefold) -> None:
    """They are put right, and nobody is reloaded for it."""
    with watching(nine):
        for host in HOSTS:
            for server in SERVERS:
                key = nine.fleet.exec(
                    host, ["readlink", "-f", f"{servers.LIVE}/{server.name}/privkey.pem"]
                ).stdout.strip()
                nine.fleet.exec(host, ["chown", "games:games", key])
                nine.fleet.exec(host, ["chmod", "0644", key])
        repaired = nine.run([server.wanted(owner=server.owner) for server in SERVERS]).check()
    for host in HOSTS:
        (result,) = repaired.results(host=host, action="fleet.tls.certificates")
        assert result["services"] == {} and all(each["action"] == "repair" for each in result["certificates"])
        for server in SERVERS:
            found = nine.fleet.exec(host, ["stat", "-L", "-c", "%U %a", f"{servers.LIVE}/{server.name}/privkey.pem"])
            assert found.stdout.split() == [server.owner, "600"]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that makes what no controller would send."""
    return Authority(tmp_path_factory.mktemp("stranger"))


def wrong_order(chain: list[str], _authority: Authority) -> list[str]:
    return chain[::-1]


def truncated(chain: list[str], _authority: Authority) -> list[str]:
    return [chain[0][: len(chain[0]) // 2], *chain[1:]]


def half_armoured(chain: list[str], _authority: Authority) -> list[str]:
    lines = chain[0].splitlines()
    return ["\n".join([*lines[: len(lines) // 2], lines[-1]]) + "\n", *chain[1:]]


def foreign(chain: list[str], authority: Authority) -> list[str]:
    return [chain[0], authority.root.pem]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (mismatched, "pair_mismatch"),
        (wrong_order, "chain_broken"),
        (truncated, "bad_certificate"),
        (half_armoured, "bad_certificate"),
        (foreign, "chain_broken"),
    ],
)
def test_a_host_refuses_by_itself(
    nine: Ninefold, stranger: Authority, tmp_path: Path, damage: Damage, code: str
) -> None:
    """The real step on the real host, with what a broken controller or issuer would send."""
    variables = wanted_install([server.wanted() for server in SERVERS], stranger, damage)
    with watching(nine):
        see_refused(tmp_path, {host: {**known, **variables} for host, known in nine.fleet.host_vars().items()}, code)
    assert nine.run().check().changed == 0


def test_damaged_files_are_replaced(nine: Ninefold) -> None:
    """A truncated certificate, on disk, of all services: a new one takes its place; nobody had to notice."""
    cut = 'for each in "$@"; do head -c 300 "$each" >/root/cut && cat /root/cut >"$each"; done'
    before = {(host, server.name): nine.served(host, server) for host in HOSTS for server in SERVERS}
    with contextlib.ExitStack() as stack:
        watches = [
            stack.enter_context(nine.watching(host, server))
            for host in HOSTS
            for server in SERVERS
            if server.uninterrupted
        ]
        for host in HOSTS:
            nine.fleet.exec(
                host, ["sh", "-c", cut, "sh", *(f"{servers.LIVE}/{server.name}/fullchain.pem" for server in SERVERS)]
            )
        nine.run().check()
    for host in HOSTS:
        for server in SERVERS:
            live = nine.fleet.exec(host, ["cat", f"{servers.LIVE}/{server.name}/cert.pem"]).stdout
            assert nine.served(host, server) == live != before[host, server.name]
    assert all(not watch.refused for watch in watches)
    assert nine.run().check().changed == 0
