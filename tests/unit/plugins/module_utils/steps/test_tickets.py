# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step tickets against a real nginx: taken, proven, put back."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files import ticket_ring as ticket_files
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import TicketPlace, key_id
from ansible_collections.fleet.tls.plugins.module_utils.steps.tickets import tickets_step
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.processes import killed_at
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair
from tools.ports import free_port

PARTS = ("prev", "cur", "next")


def new_ring() -> list[bytes]:
    return [os.urandom(80) for _part in PARTS]


def step_on(ring: list[bytes]) -> list[bytes]:
    return [*ring[1:], os.urandom(80)]


@dataclass
class World:
    """A host whose nginx reads the ring, once it is configured to."""

    folder: Path
    nginx: NginxService
    pair: Pair
    port: int
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return self.folder / "fleet-tls"

    @property
    def place(self) -> TicketPlace:
        return TicketPlace(str(self.directory), "web", memory=False)

    @property
    def link(self) -> Path:
        return Path(self.place.link)

    def configure(self, tickets: bool = True) -> None:
        keys = "".join(f"ssl_session_ticket_key {self.link}/{each}.key;\n" for each in ("cur", "next", "prev"))
        (self.nginx.conf / "site.conf").write_text(
            f"server {{ listen 127.0.0.1:{self.port} ssl; server_name www.example.com;\n"
            f"ssl_certificate {self.pair.chain}; ssl_certificate_key {self.pair.key};\n"
            f"ssl_session_cache off; ssl_session_tickets {'on' if tickets else 'off'};\n{keys if tickets else ''}}}\n"
        )

    def request(self, generation: int | None, ring: list[bytes] | None, **changes: Any) -> dict[str, Any]:
        endpoint = {"host": "127.0.0.1", "port": self.port, "server_name": "www.example.com"}
        return {
            "directory": str(self.directory),
            "pool": "web",
            "memory": False,
            "generation": generation,
            "keys": [[each.name, each.digest] for each in map(key_id, ring)] if ring else None,
            "servers": [
                {
                    "kind": "nginx",
                    "socket": None,
                    "service": {**self.nginx.described(), "preset": None, "endpoints": [endpoint]},
                }
            ],
            "defer_proof": False,
            "prove_timeout": 10,
            **changes,
        }

    def look(self) -> dict[str, Any]:
        changed, answer = tickets_step(self.request(None, None), {})
        assert not changed
        return answer

    def install(self, generation: int, ring: list[bytes], **changes: Any) -> dict[str, Any]:
        given = {part: base64.b64encode(key).decode() for part, key in zip(PARTS, ring)}
        changed, answer = tickets_step(self.request(generation, ring, **changes), given)
        assert changed
        return answer

    def wire(self) -> str | None:
        """What nginx encrypts with, once the workers from before its last reload are gone."""
        wait_for_new_workers(self)
        (seen,) = self.look()["wire"]
        return seen["name"]

    def rings(self) -> list[str]:
        return sorted(os.listdir(self.place.rings))


@pytest.fixture
def world(tmp_path: Path, pairs: list[Pair]) -> Iterator[World]:
    with NginxService(tmp_path / "nginx") as nginx:
        yield World(tmp_path, nginx, pairs[0], free_port())


def test_a_server_that_nobody_can_reload_is_refused_before_anything_is_written(world: World) -> None:
    request = world.request(7, None)["servers"]
    request[0]["service"]["reload"] = None
    with pytest.raises(StepError, match="nobody says how it is reloaded") as caught:
        world.install(7, new_ring(), servers=request, defer_proof=True)
    assert caught.value.code == "cannot_reload" and not os.path.lexists(world.link)


@pytest.fixture
def running(world: World) -> World:
    """Generation 7 is there, and nginx uses it."""
    world.install(7, new_ring(), defer_proof=True)
    world.configure()
    world.nginx.start()
    world.install(7, list(world.place.keys() or ()))
    world.nginx.calls()
    return world


def test_the_first_ring_is_there_before_any_configuration_names_it(world: World) -> None:
    world.configure(tickets=False)
    world.nginx.start()
    ring = new_ring()
    answer = world.install(1, ring, defer_proof=True)
    assert (answer["proven"], answer["how"]) == (False, {"nginx": "unused"})
    assert world.nginx.calls() == []
    assert world.look()["settled"] is False
    world.configure()
    subprocess.run(world.nginx.command("-s", "reload"), check=True, capture_output=True)
    answer = world.install(1, ring)
    assert answer["proven"] and world.look()["settled"] is True


def test_files_and_modes(running: World) -> None:
    keys = running.place.keys()
    assert keys is not None
    prev, cur, following = keys
    assert {each.name: each.read_bytes() for each in running.link.iterdir() if each.suffix == ".key"} == {
        "prev.key": prev, "cur.key": cur, "next.key": following,
    }  # fmt: skip
    lines = (running.link / "haproxy.keys").read_bytes().splitlines()
    # The penultimate line encrypts; the halves are the other way round.
    assert base64.b64decode(lines[-2]) == cur[:16] + cur[48:] + cur[16:48]
    assert len(lines) == 3
    assert {each.stat().st_mode & 0o777 for each in running.link.iterdir()} == {0o600}
    assert running.link.resolve().stat().st_mode & 0o777 == 0o700


def test_a_step_is_taken_by_one_reload_and_seen_on_the_wire(running: World) -> None:
    old = list(running.place.keys() or ())
    assert running.wire() == old[1][:16].hex()
    new = step_on(old)
    answer = running.install(8, new)
    assert answer["proven"] and answer["how"] == {"nginx": "reloaded"}
    assert running.nginx.calls() == ["validate", "reload"]
    assert running.wire() == new[1][:16].hex() == old[2][:16].hex()
    # What is not needed any more does not lie about.
    assert len(running.rings()) == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_outlive_one_step_and_not_two(running: World, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    ring = list(running.place.keys() or ())

    def connect(session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession]:
        with socket.create_connection(("127.0.0.1", running.port), 5) as plain:
            with context.wrap_socket(plain, server_hostname="www.example.com", session=session) as tls:
                tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while tls.recv(4096):
                    pass
                assert tls.session is not None
                return bool(tls.session_reused), tls.session

    _reused, session = connect()
    assert connect(session)[0]
    ring = step_on(ring)
    running.install(8, ring)
    wait_for_new_workers(running)
    assert connect(session)[0]
    ring = step_on(ring)
    running.install(9, ring)
    wait_for_new_workers(running)
    assert not connect(session)[0]


def wait_for_new_workers(world: World) -> None:
    """Old workers may take a connection for a moment after a reload."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pid = world.nginx.pid()
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
        if len(children) == 1:
            return
        time.sleep(0.05)


def test_a_look_right_after_a_reload_waits_for_the_old_workers(running: World) -> None:
    ring = list(running.place.keys() or ())
    for generation in range(8, 13):
        ring = step_on(ring)
        running.install(generation, ring)
        _changed, seen = tickets_step(running.request(generation, ring), {})
        assert [each["name"] for each in seen["wire"]] == [ring[1][:16].hex()]


def test_a_look_shows_no_key(running: World) -> None:
    text = json.dumps(running.look())
    for key in running.place.keys() or ():
        assert key[:16].hex() in text
        for secret in (key[16:48], key[48:]):
            assert secret.hex() not in text and base64.b64encode(secret).decode() not in text


def test_put_back_when_nginx_refuses(running: World) -> None:
    old = list(running.place.keys() or ())
    (running.nginx.conf / "broken.conf").write_text("nonsense;\n")
    with pytest.raises(StepError, match="unknown directive") as caught:
        running.install(8, step_on(old))
    assert caught.value.code == "validate_failed"
    assert caught.value.message.endswith(
        "; the keys are as they were before; it was failing already before this change"
    )
    assert running.place.keys() == tuple(old) and running.look()["generation"] == 7 and running.look()["settled"]
    assert running.wire() == old[1][:16].hex() and len(running.rings()) == 1


def test_put_back_when_nginx_does_not_come_to_use_it(running: World) -> None:
    """Its configuration names other files, so the reload changes nothing."""
    old = list(running.place.keys() or ())
    elsewhere = running.folder / "elsewhere.key"
    elsewhere.write_bytes(old[1])
    site = running.nginx.conf / "site.conf"
    site.write_text(site.read_text().replace(f"{running.link}/cur.key", str(elsewhere)))
    with pytest.raises(StepError, match="no ticket with the ring's current key: 127.0.0.1:") as caught:
        running.install(8, step_on(old), prove_timeout=1)
    assert caught.value.code == "not_proven"
    assert f"it uses the key named {old[1][:16].hex()}; the keys are as they were before" in caught.value.message
    assert running.place.keys() == tuple(old) and running.look()["settled"]


def test_tickets_that_are_off_are_told(running: World) -> None:
    running.configure(tickets=False)
    subprocess.run(running.nginx.command("-s", "reload"), check=True, capture_output=True)
    with pytest.raises(StepError, match="its sessions are in a cache of its own|it sent no session ticket"):
        running.install(8, step_on(list(running.place.keys() or ())), prove_timeout=1)


@pytest.mark.parametrize("generation, code", [(6, "older_ring"), (7, "other_ring")])
def test_a_host_never_goes_back(running: World, generation: int, code: str) -> None:
    old = running.place.keys()
    with pytest.raises(StepError) as caught:
        running.install(generation, new_ring())
    assert caught.value.code == code and "Nothing was changed" in caught.value.remedy
    assert running.place.keys() == old and running.nginx.calls() == []


def test_a_throw_away_ring_gives_way(running: World) -> None:
    """As a boot leaves it: other keys in the place that the link names."""
    old = list(running.place.keys() or ())
    target = running.link.resolve()
    for name, content in ticket_files.render(new_ring()).items():
        (target / name).write_bytes(content)
    subprocess.run(running.nginx.command("-s", "reload"), check=True, capture_output=True)
    seen = running.look()
    assert seen["present"] != seen["known"] and seen["generation"] == 7
    assert running.install(7, old)["proven"]
    assert running.place.keys() == tuple(old) and running.wire() == old[1][:16].hex()


@pytest.mark.parametrize("damage", ["chmod", "unlink", "mix"])
def test_what_is_not_as_it_has_to_be_is_seen_and_put_right(running: World, damage: str) -> None:
    old = list(running.place.keys() or ())
    if damage == "chmod":
        (running.link / "cur.key").chmod(0o644)
        assert "mode 0644, wanted 0600" in running.look()["drift"][0]
    elif damage == "unlink":
        (running.link / "haproxy.keys").unlink()
        assert running.look()["present"] is None
    else:
        (running.link / "prev.key").write_bytes(new_ring()[0])
        assert running.look()["present"] is None
    running.install(7, old)
    seen = running.look()
    assert (seen["present"], seen["drift"]) == (seen["known"], [])


def test_nginx_that_does_not_run(running: World) -> None:
    running.nginx.stop()
    ring = step_on(list(running.place.keys() or ()))
    with pytest.raises(StepError, match="connection refused"):
        running.install(8, ring, prove_timeout=0.2)
    answer = running.install(8, ring, defer_proof=True, prove_timeout=0.2)
    assert (answer["proven"], answer["how"]) == (False, {"nginx": "not_running"})


def test_killed_at_any_moment_servers_find_a_whole_ring(running: World) -> None:
    """Whatever was reached, every file is of one ring, and the next run brings the host to the new one."""
    event, generation, ring = 1, 7, list(running.place.keys() or ())
    while True:
        wanted = step_on(ring)
        if not killed_at(partial(running.install, generation + 1, wanted), event):
            break
        assert running.place.keys() in (tuple(ring), tuple(wanted)), event
        assert running.install(generation + 1, wanted)["proven"]
        assert len(running.rings()) == 1 and running.look()["settled"]
        event, generation, ring = event + 3, generation + 1, wanted
    assert event > 9
