# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services: the order of things, their states, the proof, and the words when something fails."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import ProofTarget, prove
from ansible_collections.fleet.tls.plugins.module_utils.services import settle as services
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service
from ansible_collections.fleet.tls.tests.unit.support.one_host import fingerprint_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair, tls_server


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def noting(folder: Path, name: str, **codes: int) -> Service:
    """A service whose commands note that they ran, and end with the codes given (else 0)."""
    return Service(name, **{
        what: sh(f"echo {name}-{what} >> {folder}/calls; echo words of {name} {what}; exit {codes.get(what, 0)}")
        for what in ("validate", "reload", "check")
    })  # fmt: skip


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    words = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return words


def states(settled: services.Settled) -> dict[str, str]:
    return {name: each["state"] for name, each in settled.states.items()}


def test_all_are_validated_before_one_is_reloaded(tmp_path: Path) -> None:
    settled = services.settle([noting(tmp_path, "a"), noting(tmp_path, "b")], [], 1)
    assert calls(tmp_path) == "a-check b-check a-validate b-validate a-reload b-reload a-check b-check".split()
    assert states(settled) == {"a": "reloaded", "b": "reloaded"} and settled.error is None and not settled.rolled_back


def test_one_that_does_not_run_is_left_alone(tmp_path: Path) -> None:
    settled = services.settle([noting(tmp_path, "a", check=3), noting(tmp_path, "b")], [], 1)
    assert calls(tmp_path) == "a-check b-check b-validate b-reload b-check".split()
    assert states(settled) == {"a": "not_running", "b": "reloaded"} and settled.error is None


@pytest.mark.parametrize("rollback", [True, False])
def test_a_validation_that_fails(tmp_path: Path, rollback: bool) -> None:
    gone_back: list[str] = []
    settled = services.settle(
        [noting(tmp_path, "a"), noting(tmp_path, "b", validate=2)], [], 1,
        rollback=(lambda: gone_back.append("back") or ["one file could not be put back"]) if rollback else None,
    )  # fmt: skip
    assert states(settled) == {"a": "unchanged", "b": "failed"}
    assert settled.error is not None and settled.error.code == "validate_failed"
    message = settled.error.message
    assert message.startswith("service 'b': 'sh -c ") and "words of b validate" in message
    assert settled.states["b"]["error"]["code"] == "validate_failed" and settled.rolled_back is rollback
    assert gone_back == (["back"] if rollback else [])
    assert ("one file could not be put back; it was failing already before this change" in message) is rollback
    # Nobody was reloaded, so nobody needs to be again.
    again = ["a-validate", "b-validate"] if rollback else []
    assert calls(tmp_path) == ["a-check", "b-check", "a-validate", "b-validate", *again]


def test_a_reload_that_fails_lets_all_take_the_old_state(tmp_path: Path) -> None:
    trio = [noting(tmp_path, "a"), noting(tmp_path, "b", reload=2), noting(tmp_path, "c")]
    settled = services.settle(trio, [], 1, rollback=list)
    assert states(settled) == {"a": "reloaded", "b": "failed", "c": "unchanged"}
    assert settled.error is not None and settled.error.code == "reload_failed" and settled.rolled_back
    back = ["a-validate", "a-check", "a-reload", "b-validate", "b-check", "b-reload", "c-validate"]
    assert calls(tmp_path)[-7:] == back


def mortal(folder: Path, **codes: int) -> Service:
    """A service that ends over a reload with the new state, and can be started with the old one."""
    (folder / "up").touch()
    (folder / "new").touch()
    return Service(
        "a",
        validate=sh(f"echo validate >> {folder}/calls; exit {codes.get('validate', 0)}"),
        reload=sh(
            f"echo reload >> {folder}/calls; test ! -e {folder}/new || rm {folder}/up; exit {codes.get('reload', 0)}"
        ),
        check=sh(f"test -e {folder}/up"),
        restart=sh(f"echo restart >> {folder}/calls; test ! -e {folder}/new && touch {folder}/up"),
    )


@pytest.mark.parametrize("code", [0, 3])
def test_one_that_goes_down_is_started_with_the_old_state(tmp_path: Path, code: int) -> None:
    service = mortal(tmp_path, reload=code)
    settled = services.settle([service], [], 1, rollback=lambda: (tmp_path / "new").unlink() or [])
    assert settled.error is not None and settled.rolled_back
    assert settled.error.code == ("reload_failed" if code else "service_down")
    assert settled.error.message.startswith("service 'a': ") and "with the old state" not in settled.error.message
    assert states(settled) == {"a": "failed"} and (tmp_path / "up").exists()
    assert calls(tmp_path) == ["validate", "reload", "validate", "restart"]


def test_one_that_goes_down_and_cannot_be_started(tmp_path: Path) -> None:
    settled = services.settle([mortal(tmp_path)], [], 1, rollback=list)
    assert settled.error is not None and settled.error.code == "service_down"
    assert "with the old state: 'sh -c echo restart" in settled.error.message


def test_a_dead_service_is_not_waited_for(tmp_path: Path, pairs: list[Pair]) -> None:
    with tls_server(pairs[0]) as address:
        wanted = target(address.port, pairs[1])
        start = time.monotonic()
        settled = services.settle([mortal(tmp_path)], [wanted], 300)
        assert time.monotonic() - start < 150
    assert settled.error is not None and settled.error.code == "service_down"


def test_what_reads_its_files_at_any_time_is_checked_before(tmp_path: Path) -> None:
    from dataclasses import replace

    quiet, eager = noting(tmp_path, "a", validate=2), replace(noting(tmp_path, "b", validate=2), eager=True)
    services.validate_early([quiet, replace(eager, check=("false",))])
    assert calls(tmp_path) == []
    with pytest.raises(StepError) as caught:
        services.validate_early([quiet, eager])
    assert caught.value.message.startswith("service 'b': ") and "ended with 2" in caught.value.message
    assert calls(tmp_path) == ["b-check", "b-validate"]


def target(port: int, pair: Pair, **changes: Any) -> ProofTarget:
    return ProofTarget("127.0.0.1", port, "www.example.com", "www", fingerprint_of(pair), **changes)


def test_proof(pairs: list[Pair]) -> None:
    with tls_server(pairs[0]) as address:
        good, bad = target(address.port, pairs[0]), target(address.port, pairs[1])
        settled = services.settle([Service("a")], [good, bad], 3)
        assert [each.ours for each in settled.served] == ["live", None]
        assert settled.error is not None and settled.error.code == "not_served" and settled.error.remedy
        shown = f"127.0.0.1:{address.port} (SNI www.example.com): it serves another certificate"
        assert shown in settled.error.message and fingerprint_of(pairs[0])[:16] in settled.error.message
        start = time.monotonic()
        settled = services.settle([Service("a")], [target(address.port, pairs[1], required=False)], 30)
        assert settled.error is None and time.monotonic() - start < 25


def test_the_proof_waits_for_what_comes_later(pairs: list[Pair]) -> None:
    with tls_server(pairs[0]) as address:
        port = address.port
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pairs[0].chain, pairs[0].key)
    ending = threading.Event()

    def late() -> None:
        ending.wait(0.4)
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(60)
            connection, _peer = listener.accept()
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    thread = threading.Thread(target=late)
    thread.start()
    (served,) = prove([target(port, pairs[0])], 5)
    thread.join()
    assert served.ours == "live" and served.error is None


def test_an_old_pair_that_is_not_served_again_is_told(pairs: list[Pair]) -> None:
    with tls_server(pairs[2]) as address:
        wanted = target(address.port, pairs[1], before=fingerprint_of(pairs[0]))
        settled = services.settle([Service("a", reload=("false",))], [wanted], 0.3, rollback=list)
    assert settled.error is not None
    assert f"127.0.0.1:{address.port} does not serve the old certificate again: another one" in settled.error.message


def test_without_a_working_old_pair_nothing_goes_back(pairs: list[Pair]) -> None:
    with tls_server(pairs[2]) as address:
        wanted = [target(address.port, pairs[1])]
        settled = services.settle([Service("a")], wanted, 0.2, rollback=list, roll_back_unproven=False)
    assert settled.error is not None and settled.error.code == "not_served" and not settled.rolled_back


def test_addresses() -> None:
    assert ProofTarget("::1", 443, None, "www", "").address == "[::1]:443"
    assert ProofTarget("127.0.0.1", 443, None, "www", "").address == "127.0.0.1:443"
