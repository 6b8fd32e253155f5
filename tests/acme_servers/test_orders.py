# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and orders with Pebble: kept, taken up again, and never made twice."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from acme_servers import pebble, proxy
from acme_servers.pebble import Pebble
from acme_servers.proxy import Answer, Seen, times
from acme_servers.servers import Pair
from acme_servers.world import PASSPHRASE, Responder, World, make_spec, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, PassphraseError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, issuer_text, must_staple, names_of
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.acme import AcmeIssuer
from tools.ports import free_port

EAB = {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}


def test_a_certificate_and_its_row(world: World) -> None:
    issuer = world.ready()
    answer = obtained(issuer, world.request(dns_names=["www.example.com", "example.com"]))
    (row,) = world.rows()
    assert (row.issuer, row.host, row.certificate) == ("public", "web1", "www")
    assert row.fingerprint == fingerprint(answer.chain[0])
    assert row.names == names_of(answer.chain[0]).dns_names == ("example.com", "www.example.com")
    assert not answer.reused


def test_the_account_is_made_once_and_its_key_is_sealed(world: World) -> None:
    issuer = world.issuer()
    assert "does not exist yet" in str(issuer.unprepared(now()))
    assert issuer.thumbprints() == ()
    issuer.prepare(now())
    assert issuer.unprepared(now()) is None
    key = world.folder / "store/acme/public/account.key"
    opened = {
        passphrase: subprocess.run(
            ["openssl", "pkey", "-in", key, "-passin", f"pass:{passphrase}", "-noout", "-text"],
            capture_output=True,
            text=True,
            check=False,
        )
        for passphrase in (PASSPHRASE, "another")
    }
    assert "P-256" in opened[PASSPHRASE].stdout
    assert opened["another"].returncode != 0
    # The thumbprint needs no secret.
    without = AcmeIssuer("public", world.options(), type(world.store())({"path": str(world.folder / "store")}))
    assert without.thumbprints() == issuer.thumbprints() != ()
    world.responder.thumbprint = issuer.thumbprints()[0]
    with pytest.raises(PassphraseError):
        without.issue([world.request()], now())
    obtained(world.issuer(), world.request())
    assert len(world.proxy.accepted("/sign-me-up")) == 1


def test_a_killed_registration_is_found_again(world: World) -> None:
    """Key and thumbprint were written, the account's address was not: the CA gives the account of that key."""
    world.ready()
    path = world.folder / "store/acme/public/account.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "url": None}))
    again = world.ready()
    assert json.loads(path.read_text()) == kept
    obtained(again, world.request())


def test_a_ca_that_is_down_still_leaves_the_thumbprint(world: World) -> None:
    """So that servers can be configured before there is an account."""
    world.proxy.before.append(lambda request: Answer(503, [("Retry-After", "100")], b"down"))
    issuer = world.issuer(timeout="1s")
    with pytest.raises(IssuerError, match="HTTP 503"):
        issuer.prepare(now())
    assert len(issuer.thumbprints()[0]) == 43
    assert "is not registered with" in str(issuer.unprepared(now()))
    world.proxy.before.clear()
    assert world.ready().thumbprints() == issuer.thumbprints()


def test_a_contact_that_changed(world: World) -> None:
    world.ready()
    changed = world.issuer(contact=["tls@example.com"])
    assert "contact" in str(changed.unprepared(now()))
    changed.prepare(now())
    assert changed.unprepared(now()) is None
    assert [each.payload for each in world.proxy.seen if each.payload and "contact" in each.payload][-1] == {
        "contact": ["mailto:tls@example.com"]
    }


def test_terms_have_to_be_agreed_to(world: World) -> None:
    with pytest.raises(SpecError, match="terms of service.*terms_agreed: true"):
        world.issuer(terms_agreed=False).prepare(now())
    assert world.proxy.paths("/sign-me-up") == []


def test_an_account_that_the_ca_has_forgotten(world: World) -> None:
    issuer = world.ready()
    forgotten = Answer.problem(400, "accountDoesNotExist")
    world.proxy.before.append(times(1, "/order-plz", lambda: forgotten))
    obtained(issuer, world.request())
    assert len(world.proxy.accepted("/sign-me-up")) == 2


def test_an_account_that_was_forgotten_with_its_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CA lost its data while an order was under way."""
    issuer, request = world.ready(), world.request()
    with monkeypatch.context() as patch:
        patch.setattr(issuer.solver, "present", fail)
        refused(issuer, request)
    forgotten = Answer.problem(400, "accountDoesNotExist")
    world.proxy.before += [times(1, "/my-order/", lambda: forgotten), times(1, "/order-plz", lambda: forgotten)]
    obtained(world.issuer(), request)
    assert len(world.proxy.accepted("/order-plz")) == 2


def fail(*arguments: object) -> None:
    """A solver on a bad day."""
    raise IssuerError("as the test wants it")


def test_many_hosts_at_once_make_one_account(world: World) -> None:
    """Each in a process of its own in real life; the store's lock works between threads alike."""
    with ThreadPoolExecutor(4) as pool:
        accounts = set(pool.map(lambda _host: world.ready().thumbprints(), range(4)))
    assert len(accounts) == 1
    assert len(world.proxy.accepted("/sign-me-up")) == 1


def test_one_request_in_two_runs_at_once_is_ordered_once(world: World) -> None:
    world.ready()
    request = world.request()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _run: obtained(world.issuer(), request), range(3)))
    assert len({answer.chain for answer in answers}) == 1
    assert (len(world.rows()), len(world.proxy.accepted("/order-plz"))) == (1, 1)


def test_the_same_request_is_ordered_once(world: World) -> None:
    issuer, request = world.ready(), world.request()
    first = obtained(issuer, request)
    before = len(world.proxy.seen)
    second = obtained(world.issuer(), request)
    assert second.reused
    assert second.chain == first.chain
    assert len(world.proxy.seen) == before


@pytest.mark.parametrize("part", ["/authZ/", "/chalZ/", "/finalize-order/", "/certZ/"])
def test_an_order_is_taken_up_again_where_it_was_left(world: World, part: str) -> None:
    """The controller was killed at this point; the CA has one order in the end."""
    issuer, request = world.ready(), world.request(dns_names=[f"left-{part.strip('/').lower()}.example.com"])
    orders = world.pebble.orders

    class Killed(BaseException):
        """Nothing of ours catches it."""

    send = type(issuer.accounts.client()[0].network)._send_request

    def killing(self: object, method: str, url: str, *args: object, **options: object) -> object:
        if method == "POST" and part in url:
            raise Killed
        return send(self, method, url, *args, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(issuer.accounts.client()[0].network), "_send_request", killing)
        with pytest.raises(Killed):
            issuer.issue([request], now())
    obtained(world.issuer(), request)
    assert world.pebble.orders == orders + 1
    assert len(world.rows()) == 1


def test_an_order_that_became_invalid_is_replaced(world: World) -> None:
    issuer, request = world.ready(), world.request(dns_names=["twice.example.com"])
    thumbprint, world.responder.thumbprint = world.responder.thumbprint, "another"
    unchecked = {"type": "http-01", "check": False}
    found = refused(world.issuer(challenge=unchecked), request)
    assert "the CA could not validate twice.example.com" in str(found)
    world.responder.thumbprint = thumbprint
    orders = world.pebble.orders
    obtained(issuer, request)
    assert world.pebble.orders == orders + 1


def test_another_key_gets_nothing_of_an_order(world: World) -> None:
    """A host that names another's request id begins an order of its own."""
    issuer = world.ready()
    one, other = world.request(), world.request()
    obtained(issuer, one)
    stolen = type(other)(**{**other.__dict__, "request_id": one.request_id})
    answer = obtained(world.issuer(), stolen)
    assert not answer.reused


def test_must_staple(world: World) -> None:
    """Pebble is asked for it and leaves it out, as most CAs do: refused, and the order is not made again."""
    issuer, request = world.ready(), world.request(must_staple=True)
    assert "the CA leaves out must_staple" in str(refused(issuer, request))
    assert "the CA leaves out must_staple" in str(refused(world.issuer(), request))
    assert world.rows() == []
    (finalize,) = world.proxy.accepted("/finalize-order/")
    text = (finalize.payload or {})["csr"]
    assert must_staple(x509.load_der_x509_csr(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    assert len(world.proxy.accepted("/order-plz")) == 1


def test_ip_addresses(world: World) -> None:
    answer = obtained(world.ready(), world.request(ip_addresses=["127.0.0.1"]))
    assert names_of(answer.chain[0]).ip_addresses == ("127.0.0.1",)


def test_several_requests_one_fails(world: World) -> None:
    issuer = world.ready(challenge={"type": "http-01", "check": False})
    good, bad = world.request(), world.request("bad", dns_names=["blocked.example.net"])
    world.proxy.before.append(
        lambda seen: (
            Answer.problem(403, "rejectedIdentifier", "policy forbids it") if "blocked" in str(seen.payload) else None
        )
    )
    found, failed = issuer.issue([good, bad], now())
    assert isinstance(found, Issued)
    assert "policy forbids it [rejectedIdentifier]" in str(failed)
    assert "does not issue for that name" in str(failed)


def test_orders_of_one_host_are_under_way_at_the_same_time(world: World) -> None:
    issuer = world.ready()
    requests = [world.request(f"host{number}", dns_names=[f"www{number}.example.com"]) for number in range(3)]
    change, finalized, alone = threading.Condition(), set[str](), list[str]()

    def meet(seen: Seen) -> None:
        # No order is finished before all of them have come as far.
        if "/finalize-order/" in seen.path:
            with change:
                finalized.add(seen.path)
                change.notify_all()
                if not change.wait_for(lambda: len(finalized) == len(requests), 120):
                    alone.append(seen.path)

    world.proxy.before.append(meet)
    answers = issuer.issue(requests, now())
    assert not alone
    assert [names_of(each.chain[0]).dns_names for each in answers if isinstance(each, Issued)] == [
        (f"www{number}.example.com",) for number in range(3)
    ]


def test_the_responder_is_asked_before_the_ca(world: World) -> None:
    issuer = world.ready()
    world.responder.thumbprint = None
    orders = len(world.proxy.paths("/order-plz"))
    found = refused(issuer, world.request())
    assert "http://www.example.com/.well-known/acme-challenge/ gives another answer" in str(found)
    assert "the CA was not asked" in str(found)
    assert len(world.proxy.paths("/order-plz")) == orders


def test_nobody_answers_the_challenge(world: World) -> None:
    world.ready()
    issuer = world.issuer(challenge={"type": "http-01", "check_address": f"127.0.0.1:{free_port()}"})
    assert "does not answer" in str(refused(issuer, world.request()))
    assert world.proxy.paths("/order-plz") == []


def test_a_profile_that_the_ca_does_not_have(world: World) -> None:
    world.ready()
    assert "has no profile 'shortlived'" in str(refused(world.issuer(profile="shortlived"), world.request()))
    assert world.proxy.paths("/order-plz") == []


def test_what_acme_cannot_do_is_refused_first(world: World) -> None:
    issuer = world.issuer()
    for fields, words in (
        ({"dns_names": ["*.example.com"]}, "wildcard"),
        ({"dns_names": ["a.example.com"], "uris": ["spiffe://example.com/a"]}, "DNS names and IP addresses only"),
        ({"dns_names": ["a.example.com"], "duration": "10d"}, "the CA alone says"),
    ):
        with pytest.raises(SpecError, match=words):
            issuer.check(make_spec(**fields))
    dns = world.issuer(challenge={"type": "command", "command": ["/bin/true"]})
    dns.check(make_spec(dns_names=["*.example.com"]))
    with pytest.raises(SpecError, match="IP address"):
        dns.check(make_spec(ip_addresses=["192.0.2.1"]))


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory, pair: Pair, responder: Responder) -> Iterator[Pebble]:
    """Pebble with three roots, and accounts for customers only."""
    with pebble.running(
        tmp_path_factory.mktemp("rich"),
        pair,
        http_port=responder.port,
        env={"PEBBLE_ALTERNATE_ROOTS": "2"},
        externalAccountBindingRequired=True,
        externalAccountMACKeys=EAB,
    ) as running:
        yield running


@pytest.fixture
def customer(rich: Pebble, pair: Pair, tmp_path: Path, responder: Responder) -> Iterator[World]:
    with proxy.running(pair, rich.port) as front:
        yield World(tmp_path, rich, front, responder)


def test_external_accounts_and_the_preferred_chain(customer: World) -> None:
    with pytest.raises(SpecError, match="external_account"):
        customer.issuer().prepare(now())
    with pytest.raises(IssuerError):
        customer.issuer(external_account={"kid": "kid-1", "hmac_key": "AAAA"}).prepare(now())
    account = {"external_account": {"kid": "kid-1", "hmac_key": EAB["kid-1"]}}
    roots = [customer.pebble.root(number) for number in range(3)]
    issuer = customer.ready(**account, anchors="".join(roots))
    default = obtained(issuer, customer.request()).chain
    preferred = next(
        name for root in issuer.trust() if (name := issuer_text(root).partition("=")[2]) not in issuer_text(default[-1])
    )
    chosen = obtained(customer.issuer(**account, anchors="".join(roots), preferred_chain=preferred), customer.request())
    assert preferred in issuer_text(chosen.chain[-1])


def test_the_chain_that_is_trusted_is_taken(customer: World) -> None:
    """The CA's first chain leads elsewhere: one of its others leads to the only anchor."""
    account = {"external_account": {"kid": "kid-1", "hmac_key": EAB["kid-1"]}}
    issuer = customer.ready(**account, anchors=customer.pebble.root(2))
    assert obtained(issuer, customer.request()).chain
