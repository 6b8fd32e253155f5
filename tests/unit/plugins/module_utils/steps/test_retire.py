# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``retire`` with a real nginx: nothing is taken from it while it uses it, and what lay there first comes back."""

from __future__ import annotations

import base64
import copy
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.files import ticket_ring
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals, kept_path
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import key_id
from ansible_collections.fleet.tls.plugins.module_utils.pair.retiring import Holdings
from ansible_collections.fleet.tls.plugins.module_utils.services import ticket_boot
from ansible_collections.fleet.tls.plugins.module_utils.steps.client import client_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.configure import configure_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.retire import retire_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.tickets import tickets_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.trust import trust_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import HandshakeError, served_leaf
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost, endpoint, service, state_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair, tls_server
from tools.ports import free_port

NAME = "www.example.com"
THEIRS = "of somebody else\n"
NOTHING: dict[str, list[str]] = {each: [] for each in ("certificates", "clients", "bundles", "pools", "configured")}


def retire(host: OneHost, *names: str, check: bool = False, **changes: Any) -> tuple[bool, dict[str, Any]]:
    """The step; whether anything changed, and its answer."""
    request = {
        "directory": str(host.tls), "check": check, "whole": False, "prove_timeout": 1, "certificates": list(names), "clients": [],
        "bundles": [], "pools": [], "claimed": [], "endpoints": [], "services": [], **changes,
    }  # fmt: skip
    return retire_step(copy.deepcopy(request))


def only_error(answer: dict[str, Any]) -> dict[str, str]:
    """The error of the one thing that was to be retired."""
    (item,) = answer["retired"]
    return dict(item["error"])


def lasting(folder: Path) -> dict[str, tuple[Any, ...]]:
    """The state of a host less what every step touches: times of directories, and the lock."""
    found = state_of(folder)
    return {
        path: each[:4] if stat.S_ISDIR(each[0]) else each for path, each in found.items() if not path.endswith(".lock")
    }


@dataclass
class World:
    """A host whose nginx serves its certificate ``www`` on ``port``."""

    host: OneHost
    nginx: NginxService
    port: int
    wish: dict[str, Any]

    def service(self, *, known: bool = True) -> dict[str, Any]:
        """nginx as the host's service; ``known``: where it serves the certificate."""
        endpoints = [endpoint(self.port, server_name=NAME)] if known else []
        return {**service(), **self.nginx.described(), "endpoints": endpoints}

    def configure(self, certificate: Path, key: Path) -> None:
        (self.nginx.conf / "site.conf").write_text(
            f"server {{ listen 127.0.0.1:{self.port} ssl; server_name {NAME};\n"
            f"ssl_certificate {certificate}; ssl_certificate_key {key}; }}\n"
        )

    def serves(self) -> bytes | None:
        """What it shows, once the old workers are gone; None: nothing."""
        children = Path(f"/proc/{self.nginx.pid()}/task/{self.nginx.pid()}/children")
        for _try in range(500):
            if len(children.read_text().split()) == 1:
                break
        try:
            return served_leaf("127.0.0.1", self.port, NAME, 3)
        except HandshakeError:
            return None


@pytest.fixture
def world(host: OneHost, tmp_path: Path, pairs: list[Pair]) -> Iterator[World]:
    """nginx serves the second pair by its live link; the first is the generation before it."""
    outputs = [host.output("site.pem", "fullchain"), host.output("site.key", "privkey", method="copy")]
    with NginxService(tmp_path / "nginx") as nginx:
        world = World(host, nginx, free_port(), host.wish(services=[], outputs=outputs))
        host.install(world.wish, pairs[0])
        host.install(world.wish, pairs[1])
        live = Path(host.layout().live)
        world.configure(live / "fullchain.pem", live / "privkey.pem")
        nginx.start()
        assert world.serves() == pairs[1].der
        yield world


def test_in_use(world: World, pairs: list[Pair]) -> None:
    """It is still served after a reload: nothing is touched at all."""
    before = lasting(world.host.folder)
    changed, answer = retire(world.host, "www", services=[world.service()])
    assert (changed, only_error(answer)["code"]) == (False, "still_served")
    assert f"127.0.0.1:{world.port}" in only_error(answer)["message"]
    assert lasting(world.host.folder) == before
    assert world.nginx.calls() == ["validate", "reload"]
    assert world.serves() == pairs[1].der


def test_in_use_where_nobody_looks(world: World, pairs: list[Pair]) -> None:
    """No endpoint is known, but nginx' own check finds the file missing: everything is back, and nginx never noticed."""
    before = lasting(world.host.folder)
    changed, answer = retire(world.host, "www", services=[world.service(known=False)])
    assert (changed, only_error(answer)["code"]) == (False, "validate_failed")
    assert "fullchain.pem" in only_error(answer)["message"]
    assert lasting(world.host.folder) == before
    assert "reload" not in world.nginx.calls()
    assert world.serves() == pairs[1].der


def test_in_use_by_a_service_that_does_not_run(world: World) -> None:
    """It would not come up any more."""
    world.nginx.stop()
    before = lasting(world.host.folder)
    changed, answer = retire(world.host, "www", services=[world.service()])
    assert (changed, only_error(answer)["code"]) == (False, "validate_failed")
    assert lasting(world.host.folder) == before
    # What is wrong with its configuration anyway is nobody's reason to keep a key.
    (world.nginx.conf / "site.conf").write_text("nonsense;\n")
    assert retire(world.host, "www", services=[world.service()])[0] is True


def test_still_served_though_their_file_is_back(host: OneHost, pairs: list[Pair]) -> None:
    """A server that has the pair in memory, and goes on with it: everything is put back."""
    theirs = host.out / "site.key"
    theirs.write_text(THEIRS)
    host.install(host.wish(outputs=[host.output("site.key", "privkey")]), pairs[0])
    before = lasting(host.folder)
    with tls_server(pairs[0]) as address:
        changed, answer = retire(host, "www", services=[service("any", [endpoint(address.port)])])
        assert (changed, only_error(answer)["code"]) == (False, "still_served")
        assert lasting(host.folder) == before and Path(kept_path(str(theirs))).read_text() == THEIRS
        # The same of an endpoint that no service has.
        place = {"host": address.host, "port": address.port, "server_name": None}
        assert only_error(retire(host, "www", endpoints=[place])[1])["code"] == "still_served"
    assert retire(host, "www", endpoints=[place])[0] is True
    assert theirs.read_text() == THEIRS


def test_the_configuration_went_first(world: World) -> None:
    """Nobody has told nginx yet: it is reloaded before anything is taken from it. The second run finds nothing."""
    (world.nginx.conf / "site.conf").write_text("")
    request = {"services": [world.service()]}
    assert retire(world.host, "www", check=True, **request)[0] is True
    changed, answer = retire(world.host, "www", **request)
    assert (changed, [each["error"] for each in answer["retired"]]) == (True, [None])
    assert world.serves() is None
    assert answer["proof"] and all(each["fingerprint"] is None for each in answer["proof"])
    assert Holdings(str(world.host.tls)).as_answer() == NOTHING
    assert list(world.host.out.iterdir()) == []
    assert not [path for path in world.host.tls.rglob("*") if path.suffix == ".pem"]
    assert retire(world.host, "www", **request) == (
        False,
        {"there": Holdings(str(world.host.tls)).as_answer(), "retired": [], "services": {}, "proof": [], "diff": [], "error": None},
    )  # fmt: skip


def test_check_mode(world: World) -> None:
    """It says what a run does, and does none of it."""
    (world.nginx.conf / "site.conf").write_text("")
    before = state_of(world.host.folder)
    changed, answer = retire(world.host, "www", check=True, services=[world.service()])
    assert state_of(world.host.folder) == before
    assert world.nginx.calls() == []
    headers = {each["before_header"] for each in answer["diff"]}
    assert headers == {
        str(world.host.out / "site.pem"), str(world.host.out / "site.key"), world.host.layout().live, world.host.layout().generations,
    }  # fmt: skip
    assert "PRIVATE KEY" not in str(answer)
    done, real = retire(world.host, "www", services=[world.service()])
    assert (changed, answer["diff"], answer["retired"]) == (done, real["diff"], real["retired"])


def test_what_lay_there_first(host: OneHost, tmp_path: Path, pairs: list[Pair]) -> None:
    """nginx has named their own pair all along; with ours retired it serves that one again, from the same files."""
    theirs = {host.out / "site.pem": pairs[2].chain.read_text(), host.out / "site.key": pairs[2].key.read_text()}
    for path, text in theirs.items():
        path.write_text(text)
        path.chmod(0o400)
    inodes = {path: path.stat().st_ino for path in theirs}
    outputs = [host.output("site.pem", "fullchain"), host.output("site.key", "privkey", method="copy")]
    with NginxService(tmp_path / "nginx") as nginx:
        world = World(host, nginx, free_port(), host.wish(services=[], outputs=outputs))
        host.install(world.wish, pairs[0])
        world.configure(*theirs)
        nginx.start()
        assert world.serves() == pairs[0].der
        changed, answer = retire(host, "www", services=[world.service()])
        assert (changed, [each["error"] for each in answer["retired"]]) == (True, [None])
        assert answer["retired"][0]["given_back"] == {str(path): kept_path(str(path)) for path in theirs}
        assert world.serves() == pairs[2].der
    assert {path: path.stat().st_ino for path in theirs} == inodes
    assert {path: path.read_text() for path in theirs} == theirs
    assert {stat.S_IMODE(path.stat().st_mode) for path in theirs} == {0o400}
    assert sorted(host.out.iterdir()) == sorted(theirs)
    assert Originals(str(host.tls)).known() == {}


def test_replaced_by_hand_and_wanted_by_others(host: OneHost, pairs: list[Pair]) -> None:
    """What somebody has put in our file's place stays, and what another certificate wants from now on."""
    outputs = [host.output("a", "privkey"), host.output("b", "privkey", method="copy"), host.output("c", "privkey")]
    host.install(host.wish(services=[], outputs=outputs), pairs[0])
    host.install(host.wish("other"), pairs[1])
    for name in ("a", "b"):
        (host.out / name).unlink()
        (host.out / name).write_text(THEIRS)
    other = {path: each for path, each in state_of(host.tls).items() if "/other" in path}
    changed, _answer = retire(host, "www", claimed=[str(host.out / "c")])
    assert changed is True
    assert {each.name: each.read_text() for each in host.out.iterdir() if not each.is_symlink()} == {
        "a": THEIRS,
        "b": THEIRS,
    }
    assert (host.out / "c").is_symlink()
    assert {path: each for path, each in state_of(host.tls).items() if "/other" in path} == other
    assert set(Originals(str(host.tls)).known()) == {str(host.out / "c")}


def test_only_a_pending_key(host: OneHost) -> None:
    """It was never issued."""
    host.look_at(host.wish())
    assert Path(host.layout().pending).exists()
    assert retire(host, "www")[0] is True
    assert not Path(host.layout().pending).exists()
    assert retire(host, "www")[0] is False


def test_the_pair_of_another_name(world: World, pairs: list[Pair]) -> None:
    """Two certificates of one pool have one pair: what stays may be served."""
    world.host.install(world.host.wish("shop"), pairs[1])
    live = Path(world.host.layout("shop").live)
    world.configure(live / "fullchain.pem", live / "privkey.pem")
    changed, answer = retire(world.host, "www", services=[world.service()])
    assert (changed, [each["error"] for each in answer["retired"]]) == (True, [None])
    assert world.serves() == pairs[1].der


def test_one_in_use_keeps_no_other(world: World, pairs: list[Pair]) -> None:
    world.host.install(world.host.wish("shop"), pairs[2])
    changed, answer = retire(world.host, "www", "shop", services=[world.service()])
    assert changed is True
    assert {each["name"]: (each["error"] or {}).get("code") for each in answer["retired"]} == {
        "www": "still_served", "shop": None,
    }  # fmt: skip
    assert Holdings(str(world.host.tls)).certificates == ["www"]


def test_a_link_where_our_directory_was(host: OneHost, pairs: list[Pair], tmp_path: Path) -> None:
    """It goes, and what it leads to stays."""
    host.install(host.wish(), pairs[0])
    pending = Path(host.layout().pending)
    pending.parent.mkdir(exist_ok=True)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text(THEIRS)
    pending.symlink_to(tmp_path / "theirs")
    assert retire(host, "www")[0] is True
    assert not os.path.lexists(pending)
    assert (tmp_path / "theirs" / "file").read_text() == THEIRS
    assert Holdings(str(host.tls)).certificates == []


def client_request(host: OneHost) -> dict[str, Any]:
    bundle = {"path": str(host.out / "ca.pem"), "content": "ours\n", "owner": None, "group": None, "mode": "0644"}
    client = {"name": "app", "certificate": "www", "bundle": bundle, "services": [], "endpoints": []}
    return {"directory": str(host.tls), "now": 0, "prove_timeout": 1, "check": False, "clients": [client]}


def test_a_client(host: OneHost, pairs: list[Pair]) -> None:
    """Its bundle gives its place to what lay there; the certificate is another matter."""
    host.install(host.wish(), pairs[0])
    (host.out / "ca.pem").write_text(THEIRS)
    inode = (host.out / "ca.pem").stat().st_ino
    client_step(client_request(host))
    assert Holdings(str(host.tls)).as_answer()["clients"] == ["app"]
    changed, answer = retire(host, clients=[{"name": "app", "bundle": None}])
    assert (changed, answer["retired"][0]["kind"], answer["retired"][0]["error"]) == (True, "client", None)
    assert ((host.out / "ca.pem").read_text(), (host.out / "ca.pem").stat().st_ino) == (THEIRS, inode)
    assert Holdings(str(host.tls)).as_answer() == {**NOTHING, "certificates": ["www"]}
    assert retire(host, clients=[{"name": "app", "bundle": str(host.out / "ca.pem")}])[0] is False
    assert (host.out / "ca.pem").read_text() == THEIRS


@pytest.mark.parametrize("services", [[], [service("reader")]], ids=["read by nobody known", "read by a service"])
def test_a_bundle(host: OneHost, services: list[dict[str, Any]]) -> None:
    path, by_hand = str(host.out / "trusted.pem"), str(host.out / "by-hand.pem")
    bundles = [{"path": each, "owner": None, "group": None, "mode": "0644"} for each in (path, by_hand)]
    anchors = [{"name": "a", "comment": "# a", "pem": "a\n"}]
    request = {
        "directory": str(host.tls), "anchors": anchors, "system": None, "bundles": bundles, "services": services, "check": False
    }  # fmt: skip
    trust_step(request)
    changed, answer = retire(host, bundles=[path], services=services)
    assert (changed, answer["retired"][0]["error"]) == (True, None)
    assert "a\n" in answer["diff"][0]["before"]
    assert [each.name for each in host.out.iterdir()] == ["by-hand.pem"]
    assert retire(host, bundles=[path], services=services)[0] is False
    assert Holdings(str(host.tls)).bundles == [by_hand]
    Path(by_hand).write_text(THEIRS)
    assert retire(host, bundles=[by_hand], services=services)[0] is True
    assert Path(by_hand).read_text() == THEIRS
    assert Holdings(str(host.tls)).as_answer() == NOTHING
    theirs = host.out / "theirs.pem"
    theirs.write_text(THEIRS)
    assert retire(host, bundles=[str(theirs), str(host.out / "never.pem")])[0] is False
    assert theirs.read_text() == THEIRS


def ring(host: OneHost, pool: str = "web") -> None:
    """A pool's first ring, on disk."""
    keys = [os.urandom(80) for _each in range(3)]
    request = {
        "directory": str(host.tls), "pool": pool, "memory": False, "owner": None, "group": None, "generation": 1,
        "keys": [[key_id(key).name, key_id(key).digest] for key in keys], "defer_proof": True, "prove_timeout": 1, "servers": [],
    }  # fmt: skip
    tickets_step(request, dict(zip(("prev", "cur", "next"), (base64.b64encode(key).decode() for key in keys))))


def test_a_ring(host: OneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_ring, "MEMORY", str(tmp_path / "memory"))
    ring(host)
    assert Holdings(str(host.tls)).pools == ["web"]
    changed, answer = retire(host, pools=["web"])
    assert (changed, answer["retired"][0]["error"]) == (True, None)
    assert not [path for path in host.tls.rglob("*") if path.is_file() and path.name != ".lock"]
    assert retire(host, pools=["web"])[0] is False


@pytest.mark.parametrize("pools", [["web"], ["web", "other"]])
@pytest.mark.parametrize("ours", [True, False], ids=["our unit", "the unit of another directory"])
def test_the_boot_unit_goes_with_the_last_ring(
    host: OneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pools: list[str], ours: bool
) -> None:
    """Not with one of two, and none that is another directory's."""
    monkeypatch.setattr(ticket_ring, "MEMORY", str(tmp_path / "memory"))
    monkeypatch.setattr(ticket_boot, "UNITS", str(tmp_path / "units"))
    monkeypatch.setattr(ticket_boot, "systemd_runs", lambda: False)
    for pool in pools:
        ring(host, pool)
    (tmp_path / "units").mkdir()
    script, unit = (Path(each.path) for each in ticket_boot.BootUnit(str(host.tls)).files())
    for each in ticket_boot.BootUnit(str(host.tls if ours else tmp_path / "elsewhere")).files():
        Path(each.path).parent.mkdir(exist_ok=True)
        Path(each.path).write_bytes(each.content or b"")
    script.write_text("ours")
    assert retire(host, pools=["web"])[0] is True
    last = len(pools) == 1
    assert (script.exists(), unit.exists()) == (not last, not (last and ours))


def test_a_ring_that_is_named(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx would not start without its keys: its own check says so."""
    monkeypatch.setattr(ticket_ring, "MEMORY", str(tmp_path / "memory"))
    ring(world.host)
    site = world.nginx.conf / "site.conf"
    site.write_text(f"ssl_session_ticket_key {world.host.tls}/tickets/web/cur.key;\n{site.read_text()}")
    before = lasting(world.host.folder)
    changed, answer = retire(world.host, pools=["web"], services=[world.service()])
    assert (changed, only_error(answer)["code"]) == (False, "validate_failed")
    assert lasting(world.host.folder) == before


def test_links_that_a_server_was_given(world: World) -> None:
    """HAProxy reads pairs by links of ours, which the role leaves where they are when a site goes. Somebody else's stays."""
    live, links = world.host.layout().live, [world.nginx.folder / name for name in ("www.pem", "theirs.pem")]
    for each in links:
        configure(world, {"path": str(each), "link": f"{live}/fullchain.pem"})
    links[1].unlink()
    links[1].symlink_to("/elsewhere")
    (world.nginx.conf / "site.conf").write_text("")
    changed, answer = retire(world.host, "www", services=[world.service()])
    assert (changed, [each["error"] for each in answer["retired"]]) == (True, [None])
    assert [os.path.lexists(each) for each in links] == [False, True]
    assert Originals(str(world.host.tls)).known() == {} and Holdings(str(world.host.tls)).as_answer() == NOTHING


def configured(world: World) -> None:
    """A file of nginx' configuration that a role has written where somebody's lay, and one that has gone again."""
    for name, content in (("ours.conf", "# ours\n"), ("gone.conf", "# ours\n")):
        (world.nginx.conf / name).write_text(f"# {THEIRS}")
        configure(world, {"path": str(world.nginx.conf / name), "content": content})
    configure(world, {"path": str(world.nginx.conf / "gone.conf"), "state": "absent"})


def configure(world: World, file: dict[str, Any]) -> None:
    request = {
        "directory": str(world.host.tls), "files": [file], "services": [world.service(known=False)], "started": False, "missing": "fail",
        "prove_timeout": 1, "check": False,
    }  # fmt: skip
    _changed, answer = configure_step(request)
    assert answer["error"] is None


def test_a_whole_host(world: World, pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what no inventory names any more. Nothing of ours is left, not even the directory."""
    monkeypatch.setattr(ticket_ring, "MEMORY", str(tmp_path / "memory"))
    host = world.host
    host.install(host.wish("forgotten"), pairs[2])
    ring(host)
    client_step(client_request(host))
    configured(world)
    (world.nginx.conf / "site.conf").write_text("")
    before = state_of(host.folder)
    whole = {"whole": True, "services": [world.service()]}
    changed, foreseen = retire(host, "www", check=True, **whole)
    assert (changed, state_of(host.folder)) == (True, before)
    assert foreseen["there"] == {
        "certificates": ["forgotten", "www"], "clients": ["app"], "bundles": [], "pools": ["web"], "configured": ["own-nginx"],
    }  # fmt: skip
    changed, answer = retire(host, "www", **whole)
    assert (changed, {each["text"] if "text" in each else each["name"]: each["error"] for each in answer["retired"]}) == (
        True, {"www": None, "forgotten": None, "app": None, "web": None, "of services": None},
    )  # fmt: skip
    assert answer["retired"] == foreseen["retired"]
    assert not host.tls.exists()
    assert list(host.out.iterdir()) == []
    found = {each.name: each.read_text() for each in world.nginx.conf.iterdir()}
    assert found == {"site.conf": "", "ours.conf": f"# {THEIRS}", "gone.conf": f"# {THEIRS}"}
    assert retire(host, "www", **whole)[0] is False
    assert not host.tls.exists()


def test_a_whole_host_that_is_still_used(world: World, pairs: list[Pair]) -> None:
    """What is in use stays, with the directory and its records."""
    world.host.install(world.host.wish("forgotten"), pairs[2])
    changed, answer = retire(world.host, whole=True, services=[world.service()])
    assert changed is True
    assert {each["name"]: (each["error"] or {}).get("code") for each in answer["retired"]} == {
        "forgotten": None, "www": "still_served",
    }  # fmt: skip
    assert world.serves() == pairs[1].der
    assert Holdings(str(world.host.tls)).certificates == ["www"]
