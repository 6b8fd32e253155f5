# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging: what is made of a pair, and that nothing in use is touched before all of it could be made."""

from __future__ import annotations

import copy
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import output_file
from ansible_collections.fleet.tls.plugins.module_utils.pair.staging import Staged, stage
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost, fingerprint_of, sign, state_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair

ROOT = os.geteuid() == 0
FORMATS = ("cert", "chain", "fullchain", "privkey", "combined", "pkcs12")


def stage_pair(host: OneHost, wish: dict[str, Any], pair: Pair, secret: Pair | None = None) -> Staged:
    entry = host.install_entry(wish, pair)
    return stage(str(host.tls), copy.deepcopy(entry), (secret or pair).key.read_text())


def content_of(form: str, pair: Pair) -> bytes:
    key, chain = pair.key.read_text(), pair.chain.read_text()
    above = chain[len(pair.pem) :]
    texts = {"cert": pair.pem, "chain": above, "fullchain": chain, "privkey": key, "combined": chain + key}
    return texts[form].encode()


@pytest.mark.parametrize("method", ["link", "copy"])
def test_outputs_of_every_format(host: OneHost, pairs: list[Pair], method: str) -> None:
    owner = {"owner": "12345", "group": "54321"} if ROOT else {}
    outputs = [host.output(f"deep/{form}", form, method, mode="0440", **owner) for form in FORMATS]
    wish = host.wish(outputs=outputs)
    for pair in pairs[:2]:
        _changed, answer = host.install(wish, pair)
        assert answer["error"] is None
        for output in outputs:
            path = Path(output["path"])
            found = path.stat()
            assert stat.S_IMODE(found.st_mode) == 0o440
            assert not ROOT or (found.st_uid, found.st_gid) == (12345, 54321)
            if method == "link":
                assert os.readlink(path) == f"{host.layout().live}/{output_file(output['path'])}"
            if output["format"] == "pkcs12":
                bundle = load_pkcs12(path.read_bytes(), None)
                assert bundle.cert is not None and bundle.cert.friendly_name == b"www"
            else:
                assert path.read_bytes() == content_of(output["format"], pair)
    assert host.look_at(wish)["drift"] == []


def test_the_generation(host: OneHost, pairs: list[Pair]) -> None:
    before = os.umask(0)
    try:
        host.install(host.wish(mode="0640", owner="12345" if ROOT else None), pairs[0])
    finally:
        os.umask(before)
    found = {path.name: path.stat() for path in host.live().iterdir()}
    modes = {name: stat.S_IMODE(each.st_mode) for name, each in found.items()}
    public = dict.fromkeys(("cert.pem", "chain.pem", "fullchain.pem"), 0o644)
    assert modes == {**public, "privkey.pem": 0o640, "manifest.json": 0o600}
    assert not ROOT or found["privkey.pem"].st_uid == found["cert.pem"].st_uid == 12345
    assert host.live("fullchain.pem").read_text() == pairs[0].chain.read_text()
    assert host.live("cert.pem").read_text() + host.live("chain.pem").read_text() == pairs[0].chain.read_text()
    manifest = json.loads(host.live("manifest.json").read_text())
    assert set(manifest["files"]) == {*public, "privkey.pem"} and manifest["settled"]
    assert "PRIVATE" not in host.live("manifest.json").read_text()
    assert stat.S_IMODE(Path(host.layout().generations).stat().st_mode) == 0o755


def test_staging_touches_nothing_in_use(host: OneHost, pairs: list[Pair]) -> None:
    wish = host.wish(outputs=[host.output("linked"), host.output("copied", method="copy")])
    host.install(wish, pairs[0])
    paths = [host.live(), *(Path(each["path"]) for each in wish["outputs"])]
    before = [state_of(path) for path in paths]
    link = os.readlink(host.layout().live)
    staged = stage_pair(host, wish, pairs[1])
    assert (staged.number, staged.previous, staged.installs) == (2, 1, True)
    assert os.readlink(host.layout().live) == link and [state_of(path) for path in paths] == before
    assert staged.discard() == []
    assert [state_of(path) for path in paths] == before and host.layout().numbers() == [1]
    assert sorted(path.name for path in host.out.iterdir()) == ["copied", "linked"]


def unknown_output_owner(host: OneHost, wish: dict[str, Any]) -> str:
    wish["outputs"].append(host.output("bad", owner="no-such-user"))
    return "unknown_user"


def directory_in_the_way(host: OneHost, wish: dict[str, Any]) -> str:
    (host.out / "dir").mkdir()
    wish["outputs"].append(host.output("dir", method="copy"))
    return "io"


def live_is_a_directory(host: OneHost, wish: dict[str, Any]) -> str:
    if os.path.lexists(host.layout().live):
        os.unlink(host.layout().live)
    os.makedirs(host.layout().live)
    return "io"


@pytest.mark.parametrize("trouble", [unknown_output_owner, directory_in_the_way, live_is_a_directory])
@pytest.mark.parametrize("first", [True, False])
def test_what_cannot_be_staged_leaves_everything_as_it_was(
    host: OneHost, pairs: list[Pair], trouble: Callable[[OneHost, dict[str, Any]], str], first: bool
) -> None:
    wish = host.wish(outputs=[host.output("linked"), host.output("copied", method="copy")])
    if not first:
        host.install(wish, pairs[0])
    code = trouble(host, wish)
    numbers, before = host.layout().numbers(), sorted(path.name for path in host.out.rglob("*"))
    with pytest.raises(StepError) as caught:
        stage_pair(host, wish, pairs[1])
    assert caught.value.code == code and caught.value.message and caught.value.remedy
    assert host.layout().numbers() == numbers and sorted(path.name for path in host.out.rglob("*")) == before


def test_a_chain_for_another_key_is_refused(host: OneHost, pairs: list[Pair]) -> None:
    host.install(host.wish(), pairs[0])
    with pytest.raises(StepError) as caught:
        stage_pair(host, host.wish(), pairs[1], secret=pairs[2])
    assert caught.value.code == "pair_mismatch"
    assert host.layout().current() == 1 == len(host.layout().numbers())


def test_the_key_that_waited(host: OneHost, shared_authority: Authority) -> None:
    wish = host.wish()
    pending = host.look_at(wish)["pending"]
    entry = host.install_entry(wish, sign(shared_authority, pending["csr"], host.folder), pending["request_id"])
    for request_id in ("another-request", ""):
        with pytest.raises(StepError) as caught:
            stage(str(host.tls), {**entry, "request_id": request_id}, None)
        assert caught.value.code == "pending_lost" and caught.value.remedy
    waiting = (Path(host.layout().pending) / "privkey.pem").read_bytes()
    _changed, answer = host.apply(entry)
    assert answer["certificates"]["www"]["error"] is None
    assert host.live("privkey.pem").read_bytes() == waiting
    assert not os.path.exists(host.layout().pending)


def test_another_request_goes_on_waiting(host: OneHost, pairs: list[Pair]) -> None:
    pending = host.look_at(host.wish())["pending"]
    host.install(host.wish(), pairs[0])
    assert host.look_at(host.wish(force=True))["pending"] == pending


def test_the_live_leaf_again_is_a_repair(host: OneHost, pairs: list[Pair]) -> None:
    wish = host.wish(outputs=[host.output("copied", method="copy")])
    host.install(wish, pairs[0])
    assert not stage_pair(host, wish, pairs[0]).installs
    Path(wish["outputs"][0]["path"]).unlink()
    changed, answer = host.install(wish, pairs[0])
    assert (changed, answer["installed"], answer["generation"], host.layout().numbers()) == (True, False, 1, [1])
    assert Path(wish["outputs"][0]["path"]).exists()


@pytest.mark.parametrize("damaged", ["cert.pem", "fullchain.pem", "privkey.pem", "manifest.json"])
@pytest.mark.parametrize("how", ["missing", "changed"])
def test_the_live_leaf_again_where_it_was_damaged(host: OneHost, pairs: list[Pair], damaged: str, how: str) -> None:
    """A key of the controller's gets its recorded certificate again: that has to heal the host."""
    host.install(host.wish(), pairs[0])
    if how == "missing":
        host.live(damaged).unlink()
    else:
        host.live(damaged).write_text("")
    changed, answer = host.install(host.wish(), pairs[0])
    assert changed and answer["installed"] and answer["error"] is None and answer["generation"] == 2
    found = host.look_at(host.wish())
    assert (found["problems"], found["drift"]) == ([], []) and found["manifest"]["settled"]


def test_a_damaged_pair_is_not_repaired(host: OneHost, pairs: list[Pair]) -> None:
    host.install(host.wish(), pairs[0])
    host.live("cert.pem").write_text("")
    changed, answer = host.repair(host.wish())
    assert not changed and answer["error"]["code"] == "damaged" and "cert.pem was changed" in answer["error"]["message"]
    changed, answer = host.repair(host.wish("never-installed"))
    assert not changed and answer["error"]["code"] == "damaged" and answer["generation"] is None


def test_a_link_that_leads_nowhere_leads_into_nothing_half_made(host: OneHost, pairs: list[Pair]) -> None:
    host.install(host.wish(), pairs[0])
    shutil.rmtree(host.live())
    staged = stage_pair(host, host.wish(), pairs[1])
    assert staged.number == 2 and not os.path.exists(host.layout().live)


@pytest.mark.parametrize("method", ["link", "copy"])
def test_an_output_not_wanted_any_more_goes_with_the_new_pair(host: OneHost, pairs: list[Pair], method: str) -> None:
    host.install(host.wish(outputs=[host.output("old", method=method)]), pairs[0])
    wish = host.wish(outputs=[host.output("new", method=method)])
    _changed, answer = host.install(wish, pairs[1])
    assert answer["error"] is None and [path.name for path in host.out.iterdir()] == ["new"]
    assert host.look_at(wish)["drift"] == []


def test_a_server_always_finds_the_file_that_is_repaired(host: OneHost, pairs: list[Pair]) -> None:
    """The content of a linked output in the live generation is replaced, never away."""
    wish = host.wish(outputs=[host.output("linked")])
    host.install(wish, pairs[0])
    inside = host.live(output_file(wish["outputs"][0]["path"]))
    gone, ending = [], threading.Event()

    def read() -> None:
        while not ending.is_set():
            if not inside.exists():
                gone.append(inside)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(10):
        inside.write_text(f"changed {number}")
        _changed, answer = host.repair(wish)
        assert answer["repaired"]
    ending.set()
    reader.join()
    assert gone == [] and inside.read_bytes() == content_of("combined", pairs[0])


def test_the_key_belongs_to_the_certificate_in_each_generation(host: OneHost, pairs: list[Pair]) -> None:
    for pair in pairs:
        host.install(host.wish(), pair)
        public = openssl.public_key_of_certificate(host.live("fullchain.pem").read_bytes())
        assert public == openssl.public_key_of_key(host.live("privkey.pem").read_bytes())
        assert json.loads(host.live("manifest.json").read_text())["fingerprint"] == fingerprint_of(pair)
    assert host.layout().numbers() == [2, 3]
