# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of ansible-playbook: certificates from Pebble on hosts with nginx, renewed, refused, put off and killed."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acme_servers.hosts import AcmeHosts, acme_hosts, stateless, webroot
from acme_servers.proxy import Answer, RenewalInfo
from acme_servers.servers import Pair
from local.hosts import PASSPHRASE, entry, ledger, message, serving
from tools.playbook import PlaybookResult, run_playbook

WINDOW = ("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z")


@pytest.fixture
def hosts(tmp_path: Path, pair: Pair) -> Iterator[AcmeHosts]:
    with acme_hosts(tmp_path, pair, {"web1": ["www1"], "web2": ["www2"]}) as hosts:
        yield hosts


def prepared(hosts: AcmeHosts, *args: str) -> PlaybookResult:
    """fleet.tls.ca, before the first certificate."""
    path = hosts.folder / "ca.yml"
    task = {
        "name": "CA",
        "fleet.tls.ca": {"store": "{{ tls_store }}", "issuers": "{{ tls_issuers }}"},
        "run_once": True,
    }
    path.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": [task]}]))
    return run_playbook(path, hosts.inventory(tls_issuers={"public": hosts.issuer()}), args=args)


def thumbprint(hosts: AcmeHosts) -> str:
    """What the servers have to know."""
    (found,) = prepared(hosts).check().results(action="fleet.tls.ca")
    (only,) = found["acme_thumbprints"]
    assert found["issuers"]["public"]["thumbprints"] == [only]
    return str(only)


def with_servers(hosts: AcmeHosts) -> Any:
    """The nginx of all sites, serving what is installed."""
    return serving(*hosts)


def first(hosts: AcmeHosts) -> None:
    """First certificates, then the servers that serve them may be started."""
    hosts.run(hosts=hosts.wishes(services=[])).check()


def test_issue_serve_and_nothing_more(hosts: AcmeHosts) -> None:
    plan = prepared(hosts, "--check").check().results(action="fleet.tls.ca")[0]
    assert plan["changed"] and "is registered" in plan["prepared"]["public"]
    assert not hosts.proxy.seen
    fresh = hosts.run("--check", hosts=hosts.wishes(services=[])).check()
    assert [entry(fresh, name)["action"] for name in ("web1", "web2")] == ["issue", "issue"]
    assert not hosts.proxy.seen
    info = RenewalInfo(hosts.proxy, WINDOW).install()
    with stateless(hosts, thumbprint(hosts)):
        assert prepared(hosts).check().changed == 0
        first(hosts)
        with with_servers(hosts):
            hosts.run().check()
            for site in hosts:
                assert site.served(hosts.public_root) == site.on_disk()
            assert {row["issuer"] for row in ledger(hosts.store)} == {"public"}
            assert (len(ledger(hosts.store)), hosts.pebble.orders, hosts.pebble.certificates) == (2, 2, 2)
            # Renewal information was asked for once a certificate; and since then for nothing at all.
            assert info.requests == 2
            before = len(hosts.proxy.seen)
            again = hosts.run().check()
            assert again.changed == 0
            assert len(hosts.proxy.seen) == before
            # Neither the key of the account nor the passphrase is needed for that.
            without = hosts.wishes()
            for wish in without.values():
                wish["tls_store"] = {"type": "directory", "path": str(hosts.store)}
            assert hosts.run(hosts=without).check().changed == 0
            # The CA wants the first one renewed now.
            move_into_the_past(hosts, info)
            renewed = hosts.run().check()
            assert entry(renewed, "web1")["reasons"][0]["code"] == "expiring"
            assert entry(renewed, "web2")["action"] == "none"
            assert hosts["web1"].served(hosts.public_root) == hosts["web1"].on_disk()
            assert [each["replaces"] for each in orders(hosts) if "replaces" in each] == sorted(info.windows)


def orders(hosts: AcmeHosts) -> list[dict[str, Any]]:
    """What was ordered."""
    return [each.payload or {} for each in hosts.proxy.accepted("/order-plz")]


def move_into_the_past(hosts: AcmeHosts, info: RenewalInfo) -> None:
    """The window of web1's certificate, and the moment at which it may be asked for again."""
    serial = int(entry(hosts.run("--check"), "web1")["serial"], 16)
    number = base64.urlsafe_b64encode(serial.to_bytes(serial.bit_length() // 8 + 1, "big")).rstrip(b"=").decode()
    (path,) = hosts.proxy.paths(f".{number}")
    info.windows[path.rpartition("/")[2]] = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    for kept in (hosts.store / "acme/public/renewals").iterdir():
        content = json.loads(kept.read_text())
        certificates = {key: {**value, "next_request": 0} for key, value in content.items() if key != "version"}
        kept.write_text(json.dumps({"version": content["version"], **certificates}))


@pytest.fixture
def htdocs() -> Iterator[Path]:
    """A directory that nginx's workers, who are nobody, get at; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="fleet-tls-htdocs-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_webroot(hosts: AcmeHosts, htdocs: Path) -> None:
    root = htdocs
    issuer = hosts.issuer(
        challenge={"type": "http-01", "webroot": str(root), "check_address": f"127.0.0.1:{hosts.http}"}
    )
    with webroot(hosts, root):
        hosts.run(hosts=hosts.wishes(services=[]), issuer=issuer).check()
        assert list((root / ".well-known/acme-challenge").iterdir()) == []
        assert (root / ".well-known").stat().st_mode & 0o777 == 0o755
        assert hosts.run(hosts=hosts.wishes(services=[]), issuer=issuer).check().changed == 0
    missing = hosts.issuer(challenge={"type": "http-01", "webroot": str(hosts.folder / "nowhere")})
    failed = hosts.run(hosts=hosts.wishes(services=[]), issuer=missing, force=True)
    assert "there is no directory" in message(failed, "web1")
    assert "Kept: generation 1, valid until" in message(failed, "web1")


def test_a_challenge_that_nobody_answers(hosts: AcmeHosts) -> None:
    """Said before the CA is asked; the other host, whose certificate is from elsewhere, goes on."""
    thumbprint(hosts)
    before = len(hosts.proxy.paths("/order-plz"))
    wishes = hosts.wishes(services=[])
    wishes["web2"]["tls_certificates"][0]["issuer"] = "internal"
    result = hosts.run(hosts=wishes)
    assert "the CA was not asked" in message(result, "web1")
    assert "tls_acme_thumbprints" in message(result, "web1")
    assert entry(result, "web2")["installed"]
    assert len(hosts.proxy.paths("/order-plz")) == before


def test_a_certificate_that_was_not_asked_for(hosts: AcmeHosts) -> None:
    """The CA gives web1's certificate to web2: other names, another key. It is refused, and the old one is served on."""
    with stateless(hosts, thumbprint(hosts)):
        first(hosts)
        with with_servers(hosts):
            hosts.run().check()
            served = {site.host: site.served(hosts.public_root) for site in hosts}
            wrong = hosts["web1"].live / "fullchain.pem"
            hosts.proxy.after.append(
                lambda seen, real: (
                    Answer(real.status, real.headers, wrong.read_bytes())
                    if "/certZ/" in seen.path and real.status == 200
                    else real
                )
            )
            failed = hosts.run(force=True)
            for name in ("web1", "web2"):
                assert "the issuer answered with a certificate for another key" in message(failed, name)
                assert "Kept: generation" in message(failed, name)
            assert {site.host: site.served(hosts.public_root) for site in hosts} == served
            hosts.proxy.after.clear()
            hosts.run(force=True).check()
            assert all(site.served(hosts.public_root) == site.on_disk() != served[site.host] for site in hosts)


def test_a_ca_that_is_down_costs_nothing(hosts: AcmeHosts) -> None:
    with stateless(hosts, thumbprint(hosts)):
        first(hosts)
        with with_servers(hosts):
            hosts.run().check()
            served = {site.host: site.served(hosts.public_root) for site in hosts}
            hosts.proxy.before.append(lambda seen: Answer(503, [("Retry-After", "3600")], b"closed"))
            assert hosts.run().check().changed == 0
            failed = hosts.run(force=["www1"], issuer=hosts.issuer(timeout="2s"))
            assert "HTTP 503" in message(failed, "web1")
            assert "Kept: generation" in message(failed, "web1")
            assert failed.stats["web2"]["failures"] == 0
            assert {site.host: site.served(hosts.public_root) for site in hosts} == served


def test_over_budget(hosts: AcmeHosts) -> None:
    """Three certificates are all that the CA gives: the two first ones, and one renewal. The rest is named and left."""
    limited = hosts.issuer(limits={"certificates_per_domain": "3/7d"})
    with stateless(hosts, thumbprint(hosts)):
        hosts.run(hosts=hosts.wishes(services=[]), issuer=limited).check()
        planned = hosts.run("--check", hosts=hosts.wishes(services=[]), issuer=limited, force=True).check()
        assert [entry(planned, name)["action"] for name in ("web1", "web2")] == ["issue", "issue"]
        done = hosts.run(hosts=hosts.wishes(services=[]), issuer=limited, force=True).check()
        found = [entry(done, name) for name in ("web1", "web2")]
        assert sorted(each["action"] for each in found) == ["issue", "none"]
        (left,) = [each for each in found if each["action"] == "none"]
        assert left["due"] and not left["changed"] and left["error"] is None
        assert "3 certificates of one registered domain in 7d (example.com)" in left["deferred"]
        # Of the others, what Pebble's five years are to browsers is no affair of the budget.
        warnings = [text for each in done.results() for text in each.get("warnings", ()) if "valid for" not in text]
        assert len(warnings) == 1 and "there is room again in" in warnings[0] and f"'{left['name']}'" in warnings[0]
        planned = hosts.run("--check", "--diff", hosts=hosts.wishes(services=[]), issuer=limited, force=True).check()
        assert [entry(planned, name)["action"] for name in ("web1", "web2")] == ["none", "none"]
        assert planned.changed == 0
        assert hosts.pebble.certificates == 3
        # What can wait goes to no other issuer.
        instead = hosts.run(hosts=hosts.wishes(services=[], issuer=["public", "internal"]), issuer=limited, force=True)
        assert [entry(instead.check(), name)["issuer"] for name in ("web1", "web2")] == ["public", "public"]
        # A host that has nothing yet cannot go on with nothing.
        new = {"web1": {"tls_certificates": [hosts["web1"].certificate(name="new", issuer="public", services=[])]}}
        assert "are all that the CA gives" in message(hosts.run(hosts=new, issuer=limited), "web1")


def killed_at(hosts: AcmeHosts, moment: str, wishes: dict[str, Any]) -> None:
    issuers = {"public": hosts.issuer(), "internal": {"type": "ca"}}
    hosts.killed_at(moment, hosts.playbook(issuers=issuers), hosts.inventory(wishes))


def test_a_pool_is_one_order_also_after_a_kill(hosts: AcmeHosts) -> None:
    """Two hosts, one pair: whichever began the order, the next run finishes it, and both serve the same certificate."""
    pool = {"name": "shared", "scope": "pool", "dns_names": ["pool.example.com"]}
    wishes = hosts.wishes(services=[], **pool)
    with stateless(hosts, thumbprint(hosts)):
        killed_at(hosts, "/finalize-order/", {"web1": wishes["web1"]})
        hosts.run(hosts={"web2": wishes["web2"]}).check()
        hosts.run(hosts=wishes).check()
        pairs = {(site.tls / "live/shared/fullchain.pem").read_text() for site in hosts}
        assert len(pairs) == 1
        assert (hosts.pebble.orders, hosts.pebble.certificates, len(ledger(hosts.store))) == (1, 1, 1)
        assert hosts.run(hosts=wishes).check().changed == 0


@pytest.mark.parametrize("moment", ["/chalZ/", "/finalize-order/", "/certZ/"])
def test_killed_and_finished_by_the_next_run(hosts: AcmeHosts, moment: str) -> None:
    """SIGKILL between newOrder and finalize, after finalize, and before the certificate is fetched: one order, one key, one certificate."""
    with stateless(hosts, thumbprint(hosts)):
        wish = {"web1": hosts.wishes(services=[])["web1"]}
        killed_at(hosts, moment, wish)
        site = hosts["web1"]
        request = json.loads((site.tls / "pending/www1/request.json").read_text())["request_id"]
        assert not site.live.exists()
        result = hosts.run(hosts=wish).check()
        assert entry(result, "web1")["action"] == "issue"
        assert [row["request_id"] for row in ledger(hosts.store)] == [request]
        assert site.pair_fault() is None
        assert (hosts.pebble.orders, hosts.pebble.certificates) == (1, 1)
        assert hosts.run(hosts=wish).check().changed == 0


def test_bad_input_is_refused_before_anything_is_touched(hosts: AcmeHosts) -> None:
    for issuer, words in (
        (hosts.issuer(directory_url="http://ca.example.com/dir"), "no https address"),
        (hosts.issuer(challenge=None), "challenge is missing"),
        (hosts.issuer(challenge={"type": "http-02"}), "there is no solver type"),
        (hosts.issuer(challenge={"type": "http-01", "webrot": "/x"}), "did you mean 'webroot'?".capitalize()),
        (hosts.issuer(limits={"orders": "many"}), "is not a limit"),
        (hosts.issuer(external_account={"kid": "a"}), "hmac_key is missing"),
        (hosts.issuer(anchors="/no/such/file"), "No such file"),
    ):
        assert words in message(hosts.run(issuer=issuer), "web1")
    wild = {"web1": {"tls_certificates": [hosts["web1"].certificate(issuer="public", dns_names=["*.example.com"])]}}
    assert "certificate 'www1': issuer 'public': a wildcard cannot be validated by http-01" in message(
        hosts.run(hosts=wild), "web1"
    )
    assert not hosts.proxy.seen
    assert not hosts.store.exists()


def test_no_secret_is_shown(hosts: AcmeHosts) -> None:
    secret = "c2VjcmV0IG9mIHRoZSBleHRlcm5hbCBhY2NvdW50"
    issuer = hosts.issuer(external_account={"kid": "kid-1", "hmac_key": secret})
    with stateless(hosts, thumbprint(hosts)):
        for args in (("-vvvv", "--diff"), ("-vvvv", "--diff", "--check")):
            result = hosts.run(*args, hosts=hosts.wishes(services=[]), issuer=issuer)
            shown = result.stdout + result.stderr
            assert "PRIVATE KEY" not in shown
            assert secret not in shown + json.dumps(result.task_results)
            assert PASSPHRASE not in json.dumps(result.task_results)
