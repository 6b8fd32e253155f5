# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA that is overloaded, slow, talks nonsense or loses answers: tried again within bounds, and told what to do in the end."""

from __future__ import annotations

import json
import time

import pytest

from acme_servers.proxy import Answer, Seen, dropping, sleeping, times
from acme_servers.world import World, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca import network as acme_network
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred, IssuerError
from tools.ports import free_port

BUSY = Answer.problem(503, "serverInternal", "overloaded", Retry_After="1")
LIMITED = Answer.problem(429, "rateLimited", "too many certificates", Retry_After="1")
STALE = Answer.problem(400, "badNonce")
NONSENSE = Answer(200, [("Content-Type", "text/html")], b"<html>please log in</html>")
EVERY = ("/order-plz", "/authZ/", "/chalZ/", "/finalize-order/", "/certZ/")


@pytest.mark.parametrize("part", EVERY)
@pytest.mark.parametrize("answer", [BUSY, LIMITED], ids=["503", "429"])
def test_an_overloaded_ca_is_asked_again(world: World, part: str, answer: Answer) -> None:
    issuer = world.ready()
    world.proxy.before.append(times(2, part, lambda: answer))
    obtained(issuer, world.request())
    assert len(world.rows()) == 1


def test_it_is_asked_again_when_it_said(world: World) -> None:
    issuer, moments = world.ready(), []
    later = Answer.problem(429, "rateLimited", Retry_After="2")
    world.proxy.before.append(lambda seen: moments.append(time.monotonic()) if "/order-plz" in seen.path else None)
    world.proxy.before.append(times(1, "/order-plz", lambda: later))
    obtained(issuer, world.request())
    assert moments[1] - moments[0] >= 2


def test_a_storm_of_refused_nonces(world: World) -> None:
    issuer = world.ready()
    world.proxy.before.append(times(10, "", lambda: STALE))
    obtained(issuer, world.request())


def test_a_storm_that_does_not_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = world.ready()
    monkeypatch.setattr(acme_network, "NONCE_TRIES", 6)
    world.proxy.before.append(times(1000, "", lambda: STALE))
    before = len(world.proxy.seen)
    assert "[badNonce]" in str(refused(issuer, world.request()))
    posts = [each for each in world.proxy.seen[before:] if each.method == "POST"]
    assert len(posts) == 6


def test_a_limit_that_lasts_is_left_for_a_later_run(world: World) -> None:
    issuer = world.ready(timeout="5s")
    day = Answer.problem(429, "rateLimited", "too many certificates already issued", Retry_After="86400")
    world.proxy.before.append(times(1000, "/order-plz", lambda: day))
    begun = len(world.proxy.paths("/order-plz"))
    found = refused(issuer, world.request())
    assert isinstance(found, Deferred)
    assert "too many certificates already issued [rateLimited] (to be tried again in 86400 s)" in str(found)
    assert len(world.proxy.paths("/order-plz")) == begun + 1


@pytest.mark.parametrize("part", ["/order-plz", "/finalize-order/", "/chalZ/", "/certZ/", "/my-order/"])
def test_an_answer_that_was_lost(world: World, part: str) -> None:
    issuer = world.ready()
    certificates = world.pebble.certificates
    world.proxy.after.append(dropping(1, part))
    obtained(issuer, world.request())
    assert world.pebble.certificates == certificates + 1


def test_a_finalize_whose_answer_was_lost_is_not_sent_twice(world: World) -> None:
    """The order tells what has become of it: a second CSR would be refused."""
    issuer = world.ready()
    statuses = []

    def note(seen: Seen, answer: Answer) -> Answer:
        if "/finalize-order/" in seen.path:
            statuses.append(answer.status)
        return answer

    world.proxy.after += [note, dropping(1, "/finalize-order/")]
    obtained(issuer, world.request())
    # A nonce may have been refused before one went through, and after that there is none.
    *refused, taken = statuses
    assert (set(refused) - {400}, taken) == (set(), 200)


def test_a_finalize_that_never_arrived_is_sent_again(world: World) -> None:
    issuer = world.ready()
    lost = [1]

    def lose(seen: Seen) -> None:
        if "/finalize-order/" in seen.path and lost:
            lost.pop()
            raise ConnectionError("as the test wants it")

    world.proxy.before.append(lose)
    obtained(issuer, world.request())


def test_a_slow_ca(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slower than is waited for, once: asked again. Always: the run says so, and the next one finishes the same order."""
    issuer, request = world.ready(), world.request()
    orders = world.pebble.orders
    connect = issuer.connect

    def impatient(key: object) -> object:
        client = connect(key)
        client.network._default_timeout = 1
        return client

    monkeypatch.setattr(issuer.accounts, "connect", impatient)
    issuer.accounts.client()
    slow = sleeping(3, "/finalize-order/")
    slower = sleeping(3, "/my-order/")
    world.proxy.before += [slow, slower]
    issuer.options = type(issuer.options)(**{**issuer.options.__dict__, "timeout": 4})
    found = refused(issuer, request)
    assert "the CA did not answer in time" in str(found)
    world.proxy.before.clear()
    obtained(world.issuer(), request)
    assert world.pebble.orders == orders + 1


@pytest.mark.parametrize("part", ["/dir", "/order-plz", "/my-order/", "/authZ/", "/certZ/"])
def test_nonsense(world: World, part: str) -> None:
    issuer, request = world.ready(), world.request()

    def talk(seen: Seen) -> Answer | None:
        nonce = [("Replay-Nonce", "AAAA")]
        return Answer(200, [*NONSENSE.headers, *nonce], NONSENSE.body) if part in seen.path else None

    world.proxy.before.append(talk)
    try:
        found: Exception = refused(issuer, request)
    except IssuerError as error:
        found = error
    assert "the CA's answer" in str(found)
    assert world.rows() == []
    world.proxy.before.clear()
    obtained(world.issuer(), request)


def test_nonsense_in_json(world: World) -> None:
    issuer = world.ready()
    for answer in (
        {"status": "ready"},
        {"status": 1, "finalize": [], "authorizations": {}},
        {"status": "valid", "authorizations": [], "finalize": "x"},
    ):
        world.proxy.after[:] = [
            lambda seen, real, answer=answer: (
                Answer(real.status, real.headers, json.dumps(answer).encode())
                if "/my-order/" in seen.path and real.status == 200
                else real
            )
        ]
        assert "the CA's answer makes no sense" in str(refused(issuer, world.request()))


def test_addresses_that_lead_elsewhere(world: World) -> None:
    """A CA, or who speaks in its place, must not make the client talk in the clear."""
    issuer = world.ready()
    world.proxy.after.append(
        lambda seen, real: (
            Answer(real.status, real.headers, real.body.replace(b"https://", b"http://"))
            if "/my-order/" in seen.path
            else real
        )
    )
    assert "is not https" in str(refused(issuer, world.request()))


def test_a_ca_that_is_down(world: World) -> None:
    world.ready()
    down = world.issuer(directory_url=f"https://127.0.0.1:{free_port()}/dir", timeout="1s")
    with pytest.raises(IssuerError, match="the CA cannot be reached.*run again later"):
        down.issue([world.request()], now())


def test_a_ca_whose_own_certificate_is_not_trusted(world: World) -> None:
    with pytest.raises(IssuerError, match="own TLS certificate is not trusted.*ca_certificate"):
        world.issuer(ca_certificate=None).prepare(now())


def test_the_account_key_is_never_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    issuer = world.ready()
    world.proxy.before.append(times(1000, "/order-plz", lambda: Answer.problem(500, "serverInternal")))
    issuer.options = type(issuer.options)(**{**issuer.options.__dict__, "timeout": 1})
    found = refused(issuer, world.request())
    assert "PRIVATE" not in f"{found!r}{caplog.text}"
