# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that others make: fetched when they change, checked like any other, with or without their key."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base import playbook_run as this_run
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.playbook_run import ThisRun
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, key_id, parse_pem_chain
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.fetch import FetchIssuer
from ansible_collections.fleet.tls.tests.unit.support.given import DAY, Given, Makers, server_pair
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.https_files import Files, https_files
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW as TASK_NOW
from ansible_collections.fleet.tls.tests.unit.support.pki import cheap_scrypt, make_issuer, make_store, snapshot

__all__ = ["cheap_scrypt"]

NOW = dt.datetime.now(dt.timezone.utc)
MAKERS = Makers(NOW)
SECRET = "passphrase of the key"
WWW: dict[str, Any] = {"name": "www", "issuer": "bought", "dns_names": ["www.example.com"]}
# The host has the key, and keeps it.
KEPT: dict[str, Any] = {**WWW, "private_key": {"rotation_policy": "never"}}


class Shop:
    """A place on the controller where certificates are put, and hosts that get them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place, self.key_place = folder / "www.pem", folder / "www.key"
        self.store = folder / "store"
        self.host = HonestHost(clock=NOW.timestamp())

    def put(self, pair: Given, *, key: bool = True) -> Given:
        """The pair as files."""
        self.place.write_text(pair.pem())
        if key:
            self.key_place.write_text(pair.key_pem())
        return pair

    def issuers(self, **options: Any) -> dict[str, Issuer]:
        """As the controller loads them anew for each host."""
        chosen = {
            "certificate": str(self.place),
            "private_key": str(self.key_place),
            "anchors": MAKERS.anchors(),
            **options,
        }
        bought = FetchIssuer(
            "bought", {name: value for name, value in chosen.items() if value is not None}, make_store(self.store)
        )
        return {"bought": bought, "internal": make_issuer(self.store)}

    def run(
        self,
        wish: dict[str, Any] | None = None,
        *,
        host: HonestHost | None = None,
        issuer: dict[str, Any] | None = None,
        **settings: Any,
    ) -> HostRun:
        """The task; the clock of these hosts is ours."""
        host, now = host or self.host, settings.pop("now", NOW)
        # run_task moves the host's clock by the difference to its own moment.
        host.clock = TASK_NOW.timestamp()
        return run_task(host, self.issuers(**(issuer or {})), wish or WWW, now=now, **settings)

    def ok(self, *arguments: Any, **options: Any) -> HostRun:
        """The same; it succeeds."""
        run = self.run(*arguments, **options)
        assert failure(run) is None, str(failure(run))
        return run

    def leaf(self) -> str:
        """The fingerprint on the host."""
        return fingerprint(parse_pem_chain("".join(self.host.live["www"].chain))[0])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch) -> None:
    next_run(monkeypatch)


def next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows belongs to another run of ansible-playbook."""
    monkeypatch.setattr(this_run, "THIS_RUN", ThisRun("next", time.time()))


def reasons(run: HostRun) -> list[str]:
    return [reason.code for reason in run.progress["www"].verdict.reasons]


def test_a_pair_then_nothing_then_a_newer_one(shop: Shop) -> None:
    first = shop.put(MAKERS.give(age=10 * DAY))
    shop.ok()
    assert shop.leaf() == first.fingerprint and len(shop.host.live["www"].chain) == 2
    assert key_id(shop.host.live["www"].key.public_key()) == key_id(first.leaf.public_key())
    again = shop.ok()
    assert task_result(again, True)["changed"] is False and shop.host.steps() == ["look auto", "apply", "look auto"]
    second = shop.put(MAKERS.give(age=DAY))
    run = shop.ok()
    assert reasons(run) == ["source_changed"] and shop.leaf() == second.fingerprint
    assert shop.host.pending == {} and shop.host.live["www"].generation == 2
    shop.put(first)
    assert reasons(shop.ok()) == [] and shop.leaf() == second.fingerprint


@pytest.mark.parametrize(
    "put",
    [
        lambda pair: pair.pem() + pair.key_pem(SECRET),
        lambda pair: pair.key_pem() + pair.pem(2, 1, 0),
        lambda pair: pair.pkcs12(SECRET),
    ],
)
def test_key_and_certificate_in_one_file(put: Any, shop: Shop) -> None:
    pair = MAKERS.give(algorithm="rsa-2048")
    content = put(pair)
    shop.place.write_bytes(content if isinstance(content, bytes) else content.encode())
    shop.ok(issuer={"private_key": None, "passphrase": SECRET})
    assert shop.leaf() == pair.fingerprint and len(shop.host.live["www"].chain) == 2
    # Nothing due: nothing is opened, so the passphrase is not needed.
    again = shop.ok(issuer={"private_key": None})
    assert reasons(again) == [] and again.warnings() == []


def test_der_with_its_chain_elsewhere(shop: Shop) -> None:
    pair = MAKERS.give()
    shop.place.write_bytes(pair.der())
    shop.key_place.write_bytes(pair.key_der())
    shop.ok(issuer={"chain": pair.pem(1)})
    assert shop.leaf() == pair.fingerprint and len(shop.host.live["www"].chain) == 2
    other = MAKERS.give()
    shop.place.write_bytes(other.der())
    (shop.folder / "chain.pem").write_text(pair.pem(1))
    shop.key_place.write_bytes(other.key_der())
    shop.ok(issuer={"chain": str(shop.folder / "chain.pem")}, force=True)
    assert shop.leaf() == other.fingerprint


def test_names_beyond_the_wanted_ones_and_any_key_are_the_makers_choice(shop: Shop) -> None:
    pair = shop.put(
        MAKERS.give("*.example.com", "other.example", algorithm="rsa-2048", usages=("client_auth", "server_auth"))
    )
    shop.ok()
    assert shop.leaf() == pair.fingerprint
    assert reasons(shop.ok()) == []
    refused = shop.run({**WWW, "dns_names": ["www.example.org"]})
    assert "with other names (*.example.com, other.example) than asked for (www.example.org)" in str(failure(refused))
    assert shop.leaf() == pair.fingerprint


def test_the_key_of_the_host(shop: Shop) -> None:
    shop.put(MAKERS.give(), key=False)
    refused = str(failure(shop.run(KEPT, issuer={"private_key": None})))
    assert "www.pem: the certificate is for another key than that of the host, and no key comes with it" in refused
    assert "pending/www/request.csr" in refused and shop.host.live == {}
    waiting = shop.host.pending["www"][2]
    first = shop.put(MAKERS.give(key=waiting, age=10 * DAY), key=False)
    shop.ok(KEPT, issuer={"private_key": None})
    assert shop.leaf() == first.fingerprint and shop.host.secrets == {}
    second = shop.put(MAKERS.give(key=waiting, age=DAY), key=False)
    shop.ok(KEPT, issuer={"private_key": None})
    assert shop.leaf() == second.fingerprint and shop.host.secrets == {}


PROBLEMS: dict[str, Any] = {
    "no file": (lambda shop: shop.place.unlink(), "cannot read"),
    "no key file": (lambda shop: shop.key_place.unlink(), "cannot read"),
    "truncated": (lambda shop: shop.place.write_text(MAKERS.give().pem()[:-90]), "not a complete PEM certificate"),
    "another key": (lambda shop: shop.key_place.write_text(MAKERS.give().key_pem()), "the private key does not belong"),
    "a locked key": (lambda shop: shop.key_place.write_text(MAKERS.give().key_pem(SECRET)), "give its passphrase"),
    "no key at all": (lambda shop: shop.key_place.write_text(MAKERS.anchors()), "there is no private key in it"),
    "expired": (lambda shop: shop.put(MAKERS.give(age=91 * DAY)), "not valid now"),
    "not yet valid": (lambda shop: shop.put(MAKERS.give(age=-DAY)), "not valid now"),
    "a stranger": (lambda shop: shop.put(Makers(NOW).give()), "does not lead to a trust anchor"),
    "without what is above": (lambda shop: shop.place.write_text(shop.pair.pem(0)), "does not lead to a trust anchor"),
    "two leaves": (lambda shop: shop.place.write_text(shop.pair.pem() + MAKERS.give().pem(0)), "not one chain"),
    "for clients": (lambda shop: shop.put(MAKERS.give(usages=("client_auth",))), "left out the usage server_auth"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_cannot_be_used_is_refused(name: str, shop: Shop) -> None:
    work, words = PROBLEMS[name]
    shop.pair = shop.put(MAKERS.give())  # type: ignore[attr-defined]
    work(shop)
    assert words in str(failure(shop.run())) and shop.host.live == {}


@pytest.mark.parametrize("name", PROBLEMS)
def test_and_costs_nothing_that_works(name: str, shop: Shop) -> None:
    """As long as the present one is good, what lies there now is a warning at most, or an error that leaves it."""
    work, _words = PROBLEMS[name]
    shop.pair = first = shop.put(MAKERS.give(age=10 * DAY))  # type: ignore[attr-defined]
    shop.ok()
    work(shop)
    run = shop.run()
    assert shop.leaf() == first.fingerprint and shop.host.live["www"].generation == 1
    error = failure(run)
    assert error is None or ". Kept: generation 1" in str(error)


def test_nothing_newer_when_it_is_time(shop: Shop) -> None:
    first = shop.put(MAKERS.give(age=80 * DAY))
    shop.ok()
    for check_mode in (False, True):
        run = shop.ok(check_mode=check_mode)
        assert reasons(run) == [] and task_result(run, True)["changed"] is False
        assert (
            f"'bought' has nothing newer than the certificate that expires on {first.leaf.not_valid_after_utc:%Y-%m-%d}"
            in run.warnings()[0]
        )
    expired = shop.run(now=NOW + 11 * DAY)
    assert reasons(expired) == ["expired"] and "not valid now" in str(failure(expired))


def test_a_source_that_is_away_is_a_warning_until_it_is_time(shop: Shop) -> None:
    shop.put(MAKERS.give(age=10 * DAY))
    shop.ok()
    shop.place.unlink()
    run = shop.ok()
    assert "issuer 'bought': fetch: cannot read" in run.warnings()[0] and task_result(run, True)["changed"] is False
    late = shop.run(now=NOW + 60 * DAY)
    assert (
        reasons(late) == ["expiring"]
        and "cannot read" in str(failure(late))
        and "Kept: generation 1" in str(failure(late))
    )


def test_the_next_issuer_when_there_is_nothing_newer_in_time(shop: Shop) -> None:
    wish = {**WWW, "issuer": ["bought", "internal"]}
    shop.put(MAKERS.give(age=30 * DAY))
    shop.ok(wish)
    late = NOW + 40 * DAY
    run = shop.ok(wish, now=late)
    (entry,) = task_result(run, True)["certificates"]
    assert (entry["issuer"], entry["fallback_for"]) == ("internal", "bought")
    assert [each["issuer"] for each in entry["failed_issuers"]] == ["bought"]
    assert "it has no other certificate than the one that expires on" in run.warnings()[0]
    assert run.warnings()[0].endswith("(issued by 'internal' instead)")
    # It stays until its own renewal; then the first is asked first again.
    assert task_result(shop.ok(wish, now=late + DAY), True)["changed"] is False
    newer = shop.put(MAKERS.give(age=-100 * DAY, lifetime=90 * DAY))
    back = shop.ok(wish, now=NOW + 110 * DAY)
    assert shop.leaf() == newer.fingerprint and back.warnings() == []


def test_a_pool_of_fetched_pairs(shop: Shop) -> None:
    wish, hosts = {**WWW, "scope": "pool"}, [HonestHost() for _number in range(3)]
    for age, code in ((10 * DAY, "missing"), (DAY, "source_changed")):
        pair = shop.put(MAKERS.give(age=age))
        for host in hosts:
            assert reasons(shop.ok(wish, host=host)) == [code]
            assert fingerprint(parse_pem_chain(host.live["www"].chain[0])[0]) == pair.fingerprint
        for host in hosts:
            assert task_result(shop.ok(wish, host=host), True)["changed"] is False
    shop.place.unlink()
    late = HonestHost()
    shop.ok(wish, host=late)
    assert fingerprint(parse_pem_chain(late.live["www"].chain[0])[0]) == pair.fingerprint


def test_check_mode_writes_nothing(shop: Shop) -> None:
    shop.put(MAKERS.give(age=10 * DAY))
    shop.ok()
    before = snapshot(shop.store)
    shop.put(MAKERS.give(age=DAY))
    run = shop.ok(check_mode=True)
    assert reasons(run) == ["source_changed"] and task_result(run, True)["changed"] and snapshot(shop.store) == before


def test_no_secret_is_told_nor_stored(shop: Shop) -> None:
    pair = MAKERS.give()
    shop.place.write_text(pair.pem() + pair.key_pem(SECRET))
    run = shop.ok(issuer={"private_key": None, "passphrase": SECRET, "headers": {"Authorization": "t0ken"}})
    body = pair.key_pem().splitlines()[1]
    told = repr(run) + repr(task_result(run, True)) + repr(shop.host.calls)
    stored = b"".join(snapshot(shop.store).values()).decode(errors="replace")
    for secret in (body, SECRET, "t0ken", "PRIVATE KEY"):
        assert secret not in told and secret not in stored


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    with https_files(*server_pair(MAKERS, tmp_path)) as files:
        yield files


def test_one_conditional_request_a_run_whatever_the_hosts(
    shop: Shop, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shop.folder / "root.pem"
    root.write_text(MAKERS.anchors())
    pair = MAKERS.give(age=10 * DAY)
    url, key_url = files.put("/www.pem", pair.pem()), files.put("/www.key", pair.key_pem())
    options = {"certificate": url, "private_key": key_url, "ca_certificate": str(root)}
    hosts = [HonestHost() for _number in range(4)]
    for host in hosts:
        shop.ok(host=host, issuer=options)
    files.asked.clear()
    for expected in ([("/www.pem", 304)], [("/www.pem", 304)]):
        next_run(monkeypatch)
        for host in hosts:
            assert reasons(shop.ok(host=host, issuer=options)) == []
        assert files.asked == expected
        files.asked.clear()
    newer = MAKERS.give(age=DAY)
    files.put("/www.pem", newer.pem()), files.put("/www.key", newer.key_pem())
    next_run(monkeypatch)
    for host in hosts:
        assert reasons(shop.ok(host=host, issuer=options)) == ["source_changed"]
        assert fingerprint(parse_pem_chain(host.live["www"].chain[0])[0]) == newer.fingerprint


def test_a_server_that_is_down_in_a_run_with_nothing_due(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    root = shop.folder / "root.pem"
    root.write_text(MAKERS.anchors())
    with https_files(*server_pair(MAKERS, shop.folder)) as files:
        pair = MAKERS.give(age=10 * DAY)
        options = {
            "certificate": files.put("/w.pem", pair.pem() + pair.key_pem()),
            "private_key": None,
            "ca_certificate": str(root),
        }
        shop.ok(issuer=options)
    next_run(monkeypatch)
    run = shop.ok(issuer=options)
    assert "/w.pem: Connection refused" in run.warnings()[0] and task_result(run, True)["changed"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certificate": None}, "it takes one of certificate and openbao"),
        ({"openbao": {"url": "https://bao.example:8200"}}, "it takes one of certificate and openbao"),
        ({"certificate": None, "openbao": {"url": "https://bao.example:8200"}}, "openbao: path is missing"),
        ({"certificate": None, "openbao": {"path": "a", "urls": 1}}, "openbao: unknown option 'urls'"),
        ({"certificate": None, "openbao": "x"}, "openbao must be a mapping"),
        ({"anchors": None}, "anchors is missing"),
        ({"certificate": "http://a/x"}, "certificate: it is neither an https URL nor an absolute path"),
        ({"private_key": "keys/x"}, "private_key: it is neither"),
        ({"anchors": "root.pem"}, "anchors is neither a PEM text nor"),
        ({"chain": "x"}, "chain is neither a PEM text nor"),
        ({"headers": ["x"]}, "headers must be a mapping"),
        ({"headers": {"X": "a\r\nHost: evil"}}, "headers: a value has a line break"),
        ({"ca_certificate": "x"}, "ca_certificate must be an absolute path"),
        ({"client_key": "/x"}, "client_key needs a client_certificate"),
        ({"timeout": "soon"}, "timeout: 'soon' is not a duration"),
        ({"url": "x"}, "unknown option 'url'"),
    ],
)
def test_options_refused(options: dict[str, Any], words: str, shop: Shop) -> None:
    with pytest.raises(SpecError) as caught:
        shop.issuers(**options)
    assert words in caught.value.message and caught.value.remedy and "evil" not in str(caught.value)
