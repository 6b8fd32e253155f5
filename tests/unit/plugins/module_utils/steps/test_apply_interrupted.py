# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run finds that follows a killed one, or that waited for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.steps import apply, look
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost, service
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair


class Killed(BaseException):
    """Stands for SIGKILL, as far as one process can."""


@pytest.fixture
def swapped(host: OneHost, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> Iterator[OneHost]:
    """A host whose second pair is live, but whose run was killed before any service had seen it."""
    wish = host.wish(services=["any"])
    host.install(wish, pairs[0], services=[service()])

    def killed(*_arguments: object, **_options: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(apply, "settle", killed)
        patch.setattr(apply, "undo", lambda staged: [])
        with pytest.raises(Killed):
            host.install(wish, pairs[1], services=[service()])
    assert host.layout().current() == 2
    yield host


def test_a_pair_that_no_service_took_is_taken_back(swapped: OneHost, pairs: list[Pair]) -> None:
    refusing = service(validate=["sh", "-c", "echo 'unsupported key'; exit 1"])
    _changed, answer = swapped.repair(swapped.wish(services=["any"]), services=[refusing])

    assert answer["rolled_back"] and answer["generation"] == 1
    assert "unsupported key" in answer["error"]["message"]
    assert swapped.layout().current() == 1 and swapped.live("cert.pem").read_text() == pairs[0].pem


def test_a_pair_that_the_service_takes_now_stays(swapped: OneHost) -> None:
    changed, answer = swapped.repair(swapped.wish(services=["any"]), services=[service()])

    assert changed and answer["error"] is None and swapped.layout().current() == 2
    assert swapped.look_at(swapped.wish(services=["any"]))["manifest"]["settled"]


def test_an_unforeseen_failure_leaves_nothing_unchecked_live(
    host: OneHost, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = host.wish(services=["any"])
    host.install(wish, pairs[0], services=[service()])

    def broken(*_arguments: object, **_options: object) -> None:
        raise AttributeError("not on this platform")

    monkeypatch.setattr(apply, "settle", broken)
    with pytest.raises(AttributeError):
        host.install(wish, pairs[1], services=[service()])
    assert host.layout().current() == 1


def test_a_look_that_waited_for_another_run_makes_no_second_key(
    host: OneHost, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw nothing, then waits while the other run installs: what it saw is out of date when it gets the lock."""
    waiting, real = threading.Event(), look.host_lock

    def noticed(directory: str):  # type: ignore[no-untyped-def]
        waiting.set()
        return real(directory)

    monkeypatch.setattr(look, "host_lock", noticed)
    answers: list[dict] = []
    other = threading.Thread(target=lambda: answers.append(host.look_at(host.wish())))
    with host_lock(str(host.tls)):
        other.start()
        assert waiting.wait(60)
        monkeypatch.setattr(apply, "host_lock", lambda _directory: threading.Lock())
        host.install(host.wish(), pairs[0])
        time.sleep(0.1)
    other.join(120)

    assert answers[0]["generation"] == 1 and answers[0]["pending"] is None
    assert not Path(host.layout().pending).exists()


def test_an_output_of_a_certificate_that_is_not_in_the_request_is_left(host: OneHost, pairs: list[Pair]) -> None:
    """It has moved to a certificate that could not be issued: until it can, the old one is better than none."""
    output = host.output("moved.pem")
    host.install(host.wish(outputs=[output]), pairs[0])
    host.repair(host.wish(), claimed=[output["path"]])
    assert Path(output["path"]).read_text().startswith("-----BEGIN")

    host.install(host.wish(outputs=[output]), pairs[1])
    host.repair(host.wish(), claimed=[])
    assert not Path(output["path"]).exists()
