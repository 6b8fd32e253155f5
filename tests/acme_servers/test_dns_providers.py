# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dns-01 by a provider's API (PowerDNS) and by acme-dns, dns-persist-01 with acme2certifier, and CAA records; BIND tells the CA."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acme_servers import acme2certifier, acme_dns, bind, pebble, powerdns, proxy
from acme_servers.acme2certifier import IDENTITY, Acme2certifier
from acme_servers.acme_dns import AcmeDns
from acme_servers.bind import Bind
from acme_servers.pebble import Pebble
from acme_servers.powerdns import PowerDns
from acme_servers.proxy import Answer, Seen
from acme_servers.servers import Pair
from acme_servers.world import Responder, World, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, load_solver
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import names_of

ACME_DNS_ZONE = "auth.example.net"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    with bind.running(tmp_path_factory.mktemp("far"), zones=[ACME_DNS_ZONE]) as running:
        yield running


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, far: Bind) -> Iterator[Bind]:
    with bind.running(tmp_path_factory.mktemp("near"), forward={ACME_DNS_ZONE: far.port}) as running:
        yield running


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PowerDns]:
    with powerdns.running(tmp_path_factory.mktemp("pdns")) as running:
        yield running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory, pair: Pair, names: Bind) -> Iterator[Pebble]:
    with pebble.running(tmp_path_factory.mktemp("pebble"), pair, dns=f"127.0.0.1:{names.port}") as running:
        yield running


@dataclasses.dataclass
class NamesWorld(World):
    """With BIND, which the CA asks."""

    names: Bind = None  # type: ignore[assignment]

    @property
    def resolver(self) -> str:
        return f"127.0.0.1:{self.names.port}"

    def options(self, **changes: object) -> dict[str, object]:
        return {**super().options(challenge=self.names.solver(), resolvers=[self.resolver]), **changes}

    def ready(self, **changes: object) -> Any:
        issuer = self.issuer(**changes)
        issuer.prepare(now())
        return issuer


@pytest.fixture
def world(tmp_path: Path, ca: Pebble, front: proxy.Proxy, names: Bind) -> NamesWorld:
    return NamesWorld(tmp_path, ca, front, Responder(), names=names)


def solver_of(options: dict[str, Any]) -> Any:
    return load_solver(options, "issuer 'public'")


# ── dns_lexicon ──


def test_a_certificate_by_a_providers_api(
    tmp_path: Path,
    pair: Pair,
    pdns: PowerDns,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two values at one name at once; nobody is asked for a list of public suffixes."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def watched(host: Any, *arguments: Any, **options: Any) -> Any:
        looked_up.append(str(host))
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    with (
        pebble.running(tmp_path_factory.mktemp("pebble"), pair, dns=f"127.0.0.1:{pdns.port}") as ca,
        proxy.running(pair, ca.port) as front,
    ):
        world = World(tmp_path, ca, front, Responder())
        issuer = world.issuer(challenge=pdns.solver())
        issuer.prepare(now())
        answer = obtained(issuer, world.request(dns_names=["*.api.example.com", "api.example.com"]))
    assert names_of(answer.chain[0]).dns_names == ("*.api.example.com", "api.example.com")
    assert pdns.texts() == []
    assert {each for each in looked_up if "suffix" in each or "github" in each} == set()


def test_a_provider_that_refuses_tells_no_secret(pdns: PowerDns) -> None:
    challenge = Challenge("www.example.com", "_acme-challenge.www.example.com", "value")
    options = {"pdns-server": f"http://127.0.0.1:{pdns.api}", "auth-token": "not-the-token-at-all"}
    with pytest.raises(Exception, match="DNS provider powerdns: ") as found:
        solver_of(pdns.solver(options=options)).present([challenge], None)
    assert "not-the-token-at-all" not in str(found.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"zones": []}, "zones is missing"),
        ({"provider": None}, "provider is missing"),
        ({"options": "secret"}, "options must be a mapping"),
    ],
)
def test_lexicon_options_that_make_no_sense(pdns: PowerDns, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        solver_of(pdns.solver(**changes))


def test_a_name_outside_the_providers_zones(pdns: PowerDns) -> None:
    with pytest.raises(Exception, match="lies in none of the zones"):
        solver_of(pdns.solver()).rehearse(["www.example.org"], "")


# ── acme_dns ──


@pytest.fixture(scope="module")
def service(far: Bind) -> Iterator[AcmeDns]:
    with acme_dns.running(far, ACME_DNS_ZONE) as running:
        yield running


def test_registered_once_and_updated_ever_after(world: NamesWorld, service: AcmeDns, far: Bind) -> None:
    challenge = {
        "type": "acme_dns",
        "server": f"http://127.0.0.1:{service.port}",
        "resolvers": [world.resolver],
        "authoritative": [f"127.0.0.1:{far.port}"],
    }
    issuer, request = world.ready(challenge=challenge), world.request(dns_names=["once.example.com"])
    orders = len(world.proxy.paths("/order-plz"))
    found = str(refused(issuer, request))
    (account,) = service.accounts.values()
    assert f"_acme-challenge.once.example.com. CNAME {account['fulldomain']}." in found
    assert len(world.proxy.paths("/order-plz")) == orders
    world.names.add("_acme-challenge.once.example.com.", "CNAME", f"{account['fulldomain']}.")
    obtained(world.issuer(challenge=challenge), request)
    obtained(world.issuer(challenge=challenge), world.request(dns_names=["once.example.com"]))
    assert len(service.accounts) == 1
    kept = [path.read_text() for path in (world.folder / "store").rglob("*.json")]
    assert any(account["fulldomain"] in text for text in kept)
    assert not any(account["password"] in text for text in kept)


def test_an_account_of_before(world: NamesWorld, service: AcmeDns, far: Bind) -> None:
    """acme-dns-client has it in a file; it is not registered again."""
    account = service.register()
    world.names.add("_acme-challenge.before.example.com.", "CNAME", f"{account['fulldomain']}.")
    challenge = {
        "type": "acme_dns",
        "server": f"http://127.0.0.1:{service.port}",
        "accounts": {"before.example.com": {**account, "server_url": "ignored"}},
        "resolvers": [world.resolver],
        "authoritative": [f"127.0.0.1:{far.port}"],
    }
    count = len(service.accounts)
    obtained(world.ready(challenge=challenge), world.request(dns_names=["before.example.com"]))
    assert len(service.accounts) == count
    # Another name: the CA may still hold the first one's authorization to be valid.
    world.names.add("_acme-challenge.wrong.example.com.", "CNAME", f"{account['fulldomain']}.")
    wrong = {**challenge, "accounts": {"wrong.example.com": {**account, "password": "wrong-but-secret"}}}
    found = str(refused(world.issuer(challenge=wrong), world.request(dns_names=["wrong.example.com"])))
    assert "/update is refused (HTTP 401" in found and "wrong-but-secret" not in found


# ── dns_persist_01 ──


@dataclasses.dataclass
class PersistWorld(NamesWorld):
    """With acme2certifier behind the proxy."""

    server: Acme2certifier = None  # type: ignore[assignment]

    def options(self, **changes: object) -> dict[str, object]:
        return {
            "directory_url": self.proxy.directory_url,
            "ca_certificate": str(self.pebble.pair.root),
            "anchors": self.server.root,
            "external_account": self.server.external,
            "contact": ["tls@example.com"],
            "terms_agreed": True,
            "challenge": {"type": "dns_persist_01", "resolvers": [self.resolver], "timeout": "2m"},
            "resolvers": [self.resolver],
            "timeout": "5m",
            **changes,
        }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, names: Bind) -> Iterator[Acme2certifier]:
    with acme2certifier.running(tmp_path_factory.mktemp("acme2certifier"), dns_port=names.port) as running:
        yield running


@pytest.fixture
def persist(tmp_path: Path, server: Acme2certifier, pair: Pair, names: Bind) -> Iterator[PersistWorld]:
    with proxy.running(pair, server.port, path="/directory", upstream_tls=False) as front:
        unused = Pebble(0, 0, pair, 0, tmp_path / "log")
        yield PersistWorld(tmp_path, unused, front, Responder(), names=names, server=server)


def test_a_record_that_stays_by_hand(persist: PersistWorld) -> None:
    """The first run says which record; the second has the certificate, and so has every one after it, without writing to DNS."""
    issuer, request = persist.ready(), persist.request(dns_names=["stays.example.com"])
    found = str(refused(issuer, request))
    account = issuer.accounts.kept().url
    record = f"{IDENTITY}; accounturi={account}"
    assert f'_validation-persist.stays.example.com. IN TXT "{record}"' in found
    persist.names.add("_validation-persist.stays.example.com.", "TXT", f'"{record}"')
    obtained(persist.issuer(), request)
    obtained(persist.issuer(), persist.request(dns_names=["stays.example.com"]))
    assert persist.names.texts("_validation-persist.stays.example.com") == [record]


def test_a_record_that_stays_by_another_solver(persist: PersistWorld) -> None:
    """Written once, with the policy that a wildcard needs, and never taken away."""
    challenge = {
        "type": "dns_persist_01",
        "resolvers": [persist.resolver],
        "writer": persist.names.solver(),
    }
    obtained(persist.ready(challenge=challenge), persist.request(dns_names=["*.writes.example.com"]))
    (record,) = persist.names.texts("_validation-persist.writes.example.com")
    assert record.endswith("; policy=wildcard")
    without = {"type": "dns_persist_01", "resolvers": [persist.resolver]}
    obtained(persist.issuer(challenge=without), persist.request(dns_names=["writes.example.com"]))


@pytest.mark.parametrize("parameters", ["; persistUntil=1000000000", "; accounturi=https://example.org/other"])
def test_a_record_that_authorises_nobody(persist: PersistWorld, parameters: str) -> None:
    """It is over, or for another account."""
    name = "over" if "persist" in parameters else "other"
    issuer = persist.ready()
    account = "" if "accounturi" in parameters else f"; accounturi={issuer.accounts.kept().url}"
    persist.names.add(f"_validation-persist.{name}.example.com.", "TXT", f'"{IDENTITY}{account}{parameters}"')
    found = str(refused(issuer, persist.request(dns_names=[f"{name}.example.com"])))
    assert f"no record authorises this account for {name}.example.com; the CA was not asked" in found


# ── CAA ──


def identified(seen: Seen, answer: Answer) -> Answer:
    """A directory that says which name the CA goes by, as Let's Encrypt's does."""
    import json

    if seen.method == "GET" and seen.path.endswith("/dir"):
        content = json.loads(answer.body)
        content.setdefault("meta", {})["caaIdentities"] = [IDENTITY]
        return dataclasses.replace(answer, body=json.dumps(content).encode())
    return answer


@pytest.mark.parametrize(
    ("name", "record", "allowed"),
    [
        ("a", '0 issue "other.example.org"', False),
        ("b", f'0 issue "{IDENTITY}"', True),
        ("c", '0 issue ";"', False),
        ("d", f'0 issue "{IDENTITY}; validationmethods=http-01"', False),
        ("e", f'0 issue "{IDENTITY}; accounturi=https://example.org/acct/1"', False),
        ("f", '128 strange "x"', False),
        ("*.g", f'0 issuewild "{IDENTITY}"', True),
        ("*.h", '0 issuewild ";"', False),
        ("below.b", f'0 issue "{IDENTITY}; validationmethods=dns-01"', True),
    ],
)
def test_caa_records_are_read_before_the_order(world: NamesWorld, name: str, record: str, allowed: bool) -> None:
    world.proxy.after.append(identified)
    owner = name.removeprefix("*.").rpartition(".")[2]
    world.names.add(f"{owner}.example.com.", "CAA", record)
    issuer, request = world.ready(), world.request(dns_names=[f"{name}.example.com"])
    if allowed:
        obtained(issuer, request)
        return
    found = str(refused(issuer, request))
    assert f"the CAA records of {owner}.example.com do not allow a certificate for {name}.example.com" in found
    assert world.proxy.paths("/order-plz") == []


def test_a_silent_resolver_refuses_nobody(world: NamesWorld) -> None:
    world.proxy.after.append(identified)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolvers = [f"127.0.0.1:{silent.getsockname()[1]}"]
        obtained(world.ready(resolvers=resolvers), world.request(dns_names=["quiet.example.com", "mute.example.com"]))
