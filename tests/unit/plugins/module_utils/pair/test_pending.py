# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that waits for its certificate: made once, kept while it fits, replaced when it does not."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.pending import (
    drop_pending,
    ensure_pending,
    is_leftover,
    pending_request,
)
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost

NEVER = {"rotation_policy": "never"}


def pending_of(host: OneHost, live: Path | None = None, used: str | None = None, **changes: Any) -> dict[str, Any]:
    return ensure_pending(host.layout(), host.wish(**changes), str(live) if live else None, used)


def key_of(host: OneHost) -> bytes:
    return (Path(host.layout().pending) / "privkey.pem").read_bytes()


def live_key(host: OneHost, algorithm: str = "ecdsa-p256") -> Path:
    path = host.folder / "live.pem"
    path.write_bytes(openssl.generate_key(algorithm))
    return path


def test_made_once(host: OneHost) -> None:
    first = pending_of(host)
    assert set(first) == {"request_id", "request_digest", "csr"}
    key = key_of(host)
    assert pending_of(host) == first == pending_request(host.layout())
    assert key_of(host) == key


def test_what_it_says_fits_its_key(host: OneHost) -> None:
    pending = pending_of(host, subject={"common_name": None, "sans": [["DNS", "a.example"]], "usages": ["server_auth"]})
    public = openssl.call(["req", "-noout", "-pubkey", "-verify"], pending["csr"].encode())
    assert openssl.public_key_of_key(key_of(host)) in public
    assert b"DNS:a.example" in openssl.call(["req", "-noout", "-text"], pending["csr"].encode())


def test_nobody_else_can_read_it(host: OneHost) -> None:
    before = os.umask(0)
    try:
        pending_of(host)
    finally:
        os.umask(before)
    folder = Path(host.layout().pending)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder.parent, folder, *folder.iterdir()]}
    assert {modes.pop("www"), modes.pop("pending")} == {0o700}
    assert set(modes.values()) == {0o600} and len(modes) == 3


@pytest.mark.parametrize("why", ["another digest", "the live pair's"])
def test_replaced_where_it_does_not_fit(host: OneHost, why: str) -> None:
    first, key = pending_of(host), key_of(host)
    second = (
        pending_of(host, request_digest="e" * 64)
        if why == "another digest"
        else pending_of(host, used=first["request_id"])
    )
    assert second["request_id"] != first["request_id"] and second["csr"] != first["csr"] and key_of(host) != key
    assert second["request_digest"] == ("e" * 64 if why == "another digest" else first["request_digest"])


@pytest.mark.parametrize(
    ("file", "content"),
    [("privkey.pem", None), ("request.csr", None), ("request.json", None), ("request.json", '{"request_id": ')],
)
def test_incomplete_is_done_again(host: OneHost, file: str, content: str | None) -> None:
    first = pending_of(host)
    path = Path(host.layout().pending) / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert pending_request(host.layout()) is None
    assert is_leftover(pending_request(host.layout()), {})
    assert pending_of(host)["request_id"] != first["request_id"]
    assert pending_request(host.layout()) is not None


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"request_id": "x"}', b"\xff"])
def test_a_request_of_another_form_is_none(host: OneHost, content: bytes) -> None:
    pending_of(host)
    (Path(host.layout().pending) / "request.json").write_bytes(content)
    assert pending_request(host.layout()) is None


def test_policy_never_takes_the_live_key_again(host: OneHost) -> None:
    live = live_key(host)
    pending = pending_of(host, live, key=NEVER)
    assert key_of(host) == live.read_bytes()
    assert openssl.public_key_of_key(live.read_bytes()) in openssl.call(
        ["req", "-noout", "-pubkey"], pending["csr"].encode()
    )
    assert pending_of(host, live, key=NEVER) == pending


def test_policy_always_does_not(host: OneHost) -> None:
    live = live_key(host)
    pending_of(host, live)
    assert key_of(host) != live.read_bytes()


@pytest.mark.parametrize("live", ["another algorithm", "garbage", "gone", "none"])
def test_a_live_key_that_cannot_be_kept(host: OneHost, live: str) -> None:
    path: Path | None = live_key(host, "ecdsa-p384" if live == "another algorithm" else "ecdsa-p256")
    if live == "garbage":
        path.write_text("-----BEGIN PRIVATE KEY-----\n")
    elif live == "gone":
        path.unlink()
    elif live == "none":
        path = None
    pending = pending_of(host, path, key=NEVER)
    assert openssl.key_algorithm(key_of(host)) == "ecdsa-p256"
    assert pending_of(host, path, key=NEVER) == pending


def test_a_changed_policy_lets_no_key_slip_in(host: OneHost) -> None:
    """A pending request of an interrupted run, made under the other policy."""
    live = live_key(host)
    kept = pending_of(host, live, key=NEVER)
    new = pending_of(host, live)
    assert new["request_id"] != kept["request_id"] and key_of(host) != live.read_bytes()
    pending_of(host, live, key=NEVER)
    assert key_of(host) == live.read_bytes()


def test_a_failure_leaves_nothing_half_made(host: OneHost) -> None:
    with pytest.raises(StepError) as caught:
        pending_of(host, subject={"common_name": None, "sans": [["IP", "999.0.0.1"]], "usages": ["server_auth"]})
    assert caught.value.code == "openssl_failed" and "999.0.0.1" in caught.value.message
    assert not os.path.exists(host.layout().pending)


def test_a_failure_keeps_what_is_good(host: OneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pending key may have its certificate already, recorded in the ledger."""
    live = live_key(host)
    pending = pending_of(host, live, key=NEVER)

    def missing() -> str:
        raise StepError("openssl_missing", "gone")

    monkeypatch.setattr(openssl, "program", missing)
    with pytest.raises(StepError) as caught:
        pending_of(host, live, key=NEVER)
    assert caught.value.code == "openssl_missing"
    assert pending_request(host.layout()) == pending


def test_leftovers(host: OneHost) -> None:
    pending = pending_of(host)
    assert is_leftover(pending, {"request_id": pending["request_id"]})
    assert not is_leftover(pending, {"request_id": "another"})
    drop_pending(host.layout())
    drop_pending(host.layout())
    assert not os.path.exists(host.layout().pending)
