# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``look``: what it says, what it prepares, and that it costs and touches nothing where nothing is to do."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.tests.unit.support.one_host import (
    DAY,
    OneHost,
    endpoint,
    fingerprint_of,
    service,
    state_of,
)
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair, tls_server

CONTROLLER = {"location": "controller"}


@pytest.fixture
def installed(host: OneHost, pairs: list[Pair]) -> OneHost:
    host.install(host.wish(), pairs[0])
    return host


@pytest.mark.parametrize("prepare", ["auto", "never"])
def test_somebodys_file_where_an_output_is_to_be_is_told_and_left_alone(
    host: OneHost, pairs: list[Pair], prepare: str
) -> None:
    theirs, free = host.output("theirs.pem"), host.output("free.pem", method="copy")
    (host.out / "theirs.pem").write_text("theirs")
    wish = host.wish(outputs=[theirs, free])
    kept = {theirs["path"]: str(host.out / ".theirs.pem.before-fleet-tls")}
    before = state_of(host.out)
    assert host.look_at(wish, prepare=prepare)["kept_files"] == kept
    # One that comes to a certificate that is there is told as well.
    host.install(host.wish(), pairs[0])
    found = host.look_at(wish, prepare=prepare)
    assert found["kept_files"] == kept and state_of(host.out) == before
    host.repair(wish)
    assert host.look_at(wish, prepare=prepare)["kept_files"] == {}


def test_a_fresh_host(host: OneHost) -> None:
    found = host.look_at(host.wish())
    pending = found.pop("pending")
    assert found == {
        "generation": None, "manifest": None, "fullchain": None, "problems": [], "drift": [], "kept_files": {}, "served": [],
        "adoptable": None, "error": None,
    }  # fmt: skip
    assert set(pending) == {"request_id", "csr"} and pending["csr"].startswith("-----BEGIN CERTIFICATE REQUEST-----")


@pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO >= (3, 5), reason="this OpenSSL knows ML-DSA")
@pytest.mark.parametrize("prepare", ["auto", "never"])
@pytest.mark.parametrize("location", ["host", "controller"])
def test_a_host_that_does_not_know_ml_dsa_refuses_it_and_touches_nothing(
    installed: OneHost, location: str, prepare: str
) -> None:
    before = state_of(installed.folder)
    wishes = [installed.wish(name, key={"algorithm": "ml-dsa-65", "location": location}) for name in ("www", "new")]
    for found in installed.look(*wishes, prepare=prepare).values():
        assert found["error"]["code"] == "openssl_too_old" and found["pending"] is None
        assert "ml-dsa-65 needs OpenSSL 3.5 or newer on the host, which has " in found["error"]["message"]
    assert state_of(installed.folder) == before


def test_nothing_to_do(installed: OneHost, pairs: list[Pair]) -> None:
    before, clock = state_of(installed.folder), time.time()
    _changed, answer = look_step(installed.look_request(installed.wish()))
    assert clock <= answer["clock"] <= time.time()
    found = answer["certificates"]["www"]
    assert found["generation"] == 1 and found["fullchain"] == pairs[0].chain.read_text()
    assert (found["problems"], found["drift"], found["pending"], found["error"]) == ([], [], None, None)
    assert found["manifest"]["fingerprint"] == fingerprint_of(pairs[0]) and found["manifest"]["settled"]
    assert state_of(installed.folder) == before
    json.dumps(answer)


CHEAP = """
import json, sys
sys.path[:0] = {path!r}
started = []
sys.addaudithook(lambda event, arguments: started.append(event) if event in (
    "subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec", "os.system", "socket.connect") else None)
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step
_changed, answer = look_step(json.load(sys.stdin))
found = answer["certificates"]["www"]
print(json.dumps([started, "ssl" in sys.modules, found["problems"] + found["drift"], found["pending"]]))
"""


def test_a_host_with_nothing_to_do_starts_no_process(host: OneHost, pairs: list[Pair]) -> None:
    outputs = [host.output("a"), host.output("b", "pkcs12", "copy")]
    wish = host.wish(outputs=outputs)
    host.install(wish, pairs[0])
    script = CHEAP.format(path=[each for each in sys.path if each])
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(host.look_request(wish)), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout) == [[], False, [], None]


def no_key(host: OneHost) -> None:
    host.live("privkey.pem").unlink()


@pytest.mark.parametrize(
    ("damage", "changes", "prepared"),
    [
        (lambda host: None, {}, False),
        (lambda host: None, {"force": True}, True),
        (lambda host: None, {"request_digest": "e" * 64}, True),
        (lambda host: None, {"renew_before": {"seconds": 31 * DAY}}, False),  # longer than it lives: a third counts
        (lambda host: None, {"renew_before": {"seconds": 29 * DAY}}, False),
        (lambda host: None, {"renew_before": {"fraction": 0.999999}}, True),
        (no_key, {}, True),
        (lambda host: host.live("cert.pem").write_text(""), {}, True),
        (lambda host: host.live("manifest.json").unlink(), {}, True),
        (lambda host: os.unlink(host.layout().live), {}, True),
        # Only the rights are wrong: no new key for that.
        (lambda host: host.live("privkey.pem").chmod(0o644), {}, False),
        # The controller makes it.
        (no_key, {"key": CONTROLLER}, False),
    ],
)
def test_prepare(
    installed: OneHost, damage: Callable[[OneHost], None], changes: dict[str, Any], prepared: bool
) -> None:
    damage(installed)
    wish = installed.wish(**changes)
    # In check mode it is the same but for the doing, and not a byte changes.
    before = state_of(installed.folder)
    assert installed.look_at(wish, prepare="never")["pending"] is None
    assert state_of(installed.folder) == before
    # A list says for which, whatever the host thinks.
    assert installed.look_at(wish, prepare=["other"])["pending"] is None
    assert state_of(installed.folder) == before
    found = installed.look_at(wish)
    assert (found["pending"] is not None) is prepared and found["error"] is None
    assert installed.look_at(wish, prepare="never")["pending"] == found["pending"]
    on_order = installed.look_at(wish, prepare=["www"])["pending"]
    assert (on_order is not None) is (wish["key"]["location"] == "host")
    assert not prepared or on_order == found["pending"]


def test_a_manifest_without_dates_is_due(host: OneHost, pairs: list[Pair]) -> None:
    wish = host.wish()
    entry = host.install_entry(wish, pairs[0], not_after=None)
    host.apply(entry, secrets={"www": pairs[0].key.read_text()})
    assert host.look_at(wish)["pending"] is not None


def test_a_check_of_a_fresh_host_writes_nothing_at_all(host: OneHost) -> None:
    before = state_of(host.folder)
    found = host.look_at(host.wish(owner="user-of-a-later-task"), prepare="never")
    assert (found["pending"], found["error"]) == (None, None)
    assert state_of(host.folder) == before


@pytest.mark.parametrize("where", ["certificate", "output"])
def test_an_unknown_user_is_told_before_a_key_is_made(host: OneHost, where: str) -> None:
    bad = (
        host.wish(owner="no-such-user")
        if where == "certificate"
        else host.wish(outputs=[host.output("a", group="no-such-user")])
    )
    found = host.look(bad, host.wish("other"))
    assert found["www"]["error"]["code"] == "unknown_user" and "no-such-user" in found["www"]["error"]["message"]
    assert found["www"]["pending"] is None and not os.path.exists(host.layout().pending)
    assert found["other"]["pending"] is not None and found["other"]["error"] is None


def test_policy_never_asks_for_the_live_key_again(installed: OneHost, pairs: list[Pair]) -> None:
    wish = installed.wish(force=True, key={"rotation_policy": "never"})
    public = openssl.public_key_of_key(pairs[0].key.read_bytes())

    def asked() -> bytes:
        csr = installed.look_at(wish)["pending"]["csr"].encode()
        return openssl.call(["req", "-noout", "-pubkey"], csr)

    assert asked() == public
    shutil.rmtree(installed.layout().pending)
    # Not one that somebody put there.
    shutil.copy(pairs[1].key, installed.live("privkey.pem"))
    assert asked() not in (public, openssl.public_key_of_key(pairs[1].key.read_bytes()))


@pytest.mark.parametrize("kind", ["foreign link", "absolute link", "directory", "dangling"])
def test_a_live_link_that_is_not_ours(installed: OneHost, kind: str) -> None:
    live = installed.layout().live
    target = installed.live()
    os.unlink(live)
    if kind == "directory":
        os.mkdir(live)
    else:
        os.symlink({"foreign link": "/etc", "absolute link": str(target)}.get(kind, "../generations/www/9"), live)
    found = installed.look_at(installed.wish())
    (problem,) = found["problems"]
    assert problem["code"] == "damaged"
    words = "manifest.json is missing" if kind == "dangling" else f"{live} is not a link of ours"
    assert words in problem["detail"]
    assert found["fullchain"] is None and found["pending"] is not None


def test_no_private_key_in_an_answer(installed: OneHost) -> None:
    _changed, answer = look_step(installed.look_request(installed.wish(force=True)))
    assert answer["certificates"]["www"]["pending"]
    assert "PRIVATE KEY" not in json.dumps(answer)
    keys = [*installed.tls.rglob("privkey.pem")]
    assert len(keys) == 2
    assert not [line for key in keys for line in key.read_text().split("\n")[1:-2] if line in json.dumps(answer)]


def test_a_host_that_is_busy(host: OneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_lock.__wrapped__, "__defaults__", (0.1,))
    with host_lock(str(host.tls), 1):
        found = host.look_at(host.wish())
        assert found["error"]["code"] == "busy" and found["error"]["remedy"] and found["pending"] is None
        # A look with nothing to write waits for nobody.
        assert host.look_at(host.wish(), prepare="never")["error"] is None


def test_a_directory_that_cannot_be_used(host: OneHost) -> None:
    host.tls.write_text("a file")
    error = host.look_at(host.wish())["error"]
    assert error["code"] == "io" and str(host.tls) in error["message"]


class TestServed:
    """What endpoints serve, beside what is installed."""

    def served(self, host: OneHost, port: int, explicit: bool = True, **changes: Any) -> dict[str, Any]:
        services = [service("any", [endpoint(port, explicit=explicit, server_name="www.example.com")])]
        (found,) = host.look_at(host.wish(services=["any"]), services=services, **changes)["served"]
        assert found["endpoint"] == f"127.0.0.1:{port}" and found["server_name"] == "www.example.com"
        assert (found["explicit"], found["certificate"]) == (explicit, "www")
        return dict(found)

    @pytest.mark.parametrize("explicit", [True, False])
    def test_live_older_foreign(self, host: OneHost, pairs: list[Pair], explicit: bool) -> None:
        for pair in pairs[:2]:
            host.install(host.wish(), pair)
        for pair, ours in zip(pairs, ["older", "live", None]):
            with tls_server(pair) as address:
                found = self.served(host, address.port, explicit)
            assert (found["ours"], found["fingerprint"], found["error"]) == (ours, fingerprint_of(pair), None)

    def test_nobody_there(self, installed: OneHost, pairs: list[Pair]) -> None:
        with tls_server(pairs[0]) as address:
            port = address.port
        found = self.served(installed, port)
        assert (found["ours"], found["fingerprint"]) == (None, None) and "refused" in found["error"].lower()

    def test_all_at_once_in_their_order(self, installed: OneHost, pairs: list[Pair]) -> None:
        with tls_server(pairs[0]) as first, tls_server(pairs[2]) as second:
            ports = [first.port, second.port, first.port]
            services = [service("any", [endpoint(port) for port in ports])]
            found = installed.look_at(installed.wish(services=["any"]), services=services)["served"]
        assert [each["endpoint"] for each in found] == [f"127.0.0.1:{port}" for port in ports]
        assert [each["ours"] for each in found] == ["live", None, "live"]

    def test_where_nothing_is_installed_nobody_is_asked(self, host: OneHost, pairs: list[Pair]) -> None:
        with tls_server(pairs[0]) as address:
            services = [service("any", [endpoint(address.port)])]
            assert host.look_at(host.wish(services=["any"]), services=services)["served"] == []


def test_one_certificate_s_trouble_is_its_own(installed: OneHost) -> None:
    """What cannot be looked at at all becomes that certificate's error, in words."""
    folder = Path(installed.layout("odd").generation(1))
    folder.mkdir(parents=True)
    os.symlink("../generations/odd/1", installed.layout("odd").live)
    shutil.copy(installed.live("manifest.json"), folder)
    for name in ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"):
        shutil.copy(installed.live(name), folder)
    copied = installed.output("odd.pem", "cert", "copy")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["outputs"] = {copied["path"]: {"format": "cert", "method": "copy", "sha256": "x"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = installed.look(installed.wish(), installed.wish("odd", owner="no-such-user", outputs=[copied]))
    assert found["odd"]["error"]["code"] == "unknown_user" and found["www"]["error"] is None
