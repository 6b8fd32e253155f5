# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dns-01 where a company's DNS is as it is: servers by name, CNAMEs to zones of other servers, silent servers; BIND and Pebble."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import dns.query
import pytest

from acme_servers import bind, pebble, proxy
from acme_servers.bind import Bind
from acme_servers.pebble import Pebble
from acme_servers.proxy import Answer, Seen, times
from acme_servers.servers import Pair
from acme_servers.world import Responder, World, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import names_of
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.acme import AcmeIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.solver.dns_rfc2136 import Rfc2136Solver

FAR_ZONES = ("dyn.example.net", "_acme-challenge.own.example.com")
# Where challenges are delegated: to another server's zone, there and back again, to nowhere; and a zone of its own.
DELEGATIONS = """\
_acme-challenge.delegated IN CNAME delegated.dyn.example.net.
_acme-challenge.twice IN CNAME once.here
once.here IN CNAME twice.dyn.example.net.
_acme-challenge.around IN CNAME around.here
around.here IN CNAME _acme-challenge.around
_acme-challenge.own IN NS ns
"""


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    """Another team's server, with a key of its own."""
    with bind.running(tmp_path_factory.mktemp("far"), zones=FAR_ZONES) as running:
        yield running


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, far: Bind) -> Iterator[Bind]:
    forward = dict.fromkeys(FAR_ZONES, far.port)
    with bind.running(tmp_path_factory.mktemp("near"), records=DELEGATIONS, forward=forward) as running:
        yield running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory, pair: Pair, names: Bind) -> Iterator[Pebble]:
    with pebble.running(tmp_path_factory.mktemp("pebble"), pair, dns=f"127.0.0.1:{names.port}") as running:
        yield running


@dataclasses.dataclass
class ZonesWorld(World):
    """With two teams' servers."""

    names: Bind = None  # type: ignore[assignment]
    far: Bind = None  # type: ignore[assignment]

    def challenge(self, **changes: object) -> dict[str, object]:
        """A solver that knows both."""
        zones = [
            {"zone": zone, **{key: value for key, value in self.far.solver().items() if key != "type"}}
            for zone in FAR_ZONES
        ]
        return self.names.solver(zones=zones, resolvers=[f"127.0.0.1:{self.names.port}"], **changes)

    def ready(self, **changes: object) -> AcmeIssuer:
        issuer = self.issuer(**{"challenge": self.challenge(), **changes})
        issuer.prepare(now())
        return issuer

    def solver(self, **changes: object) -> Rfc2136Solver:
        """The solver alone."""
        options = {key: value for key, value in self.challenge(**changes).items() if key != "type"}
        return Rfc2136Solver(options, "challenge")


@pytest.fixture
def world(tmp_path: Path, ca: Pebble, front: proxy.Proxy, names: Bind, far: Bind) -> ZonesWorld:
    return ZonesWorld(tmp_path, ca, front, Responder(), names=names, far=far)


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """An address that takes questions and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{udp.getsockname()[1]}"


def challenges(count: int, domain: str) -> list[Challenge]:
    return [
        Challenge(f"n{each}.{domain}", f"_acme-challenge.n{each}.{domain}", f"value-{each}") for each in range(count)
    ]


def test_servers_by_name(world: ZonesWorld) -> None:
    """The documentation's own example has names, for the primary and for those that have to show the record."""
    by_name = world.names.solver(
        server=f"localhost:{world.names.port}",
        authoritative=[f"localhost:{world.names.port}", f"localhost:{world.names.second}"],
    )
    obtained(world.ready(challenge=by_name), world.request(dns_names=["byname.example.com"]))


def test_a_name_in_authoritative_that_is_nowhere(world: ZonesWorld) -> None:
    nowhere = world.challenge(authoritative=["ns.nowhere.invalid"])
    found = refused(world.ready(challenge=nowhere), world.request(dns_names=["nowhere.example.com"]))
    assert "ns.nowhere.invalid:53: its name, in authoritative, has no address" in str(found)
    assert world.names.texts("_acme-challenge.nowhere.example.com") == []


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("delegated", "delegated.dyn.example.net"),
        ("twice", "twice.dyn.example.net"),
        ("own", "_acme-challenge.own.example.com"),
    ],
)
def test_a_record_is_written_where_its_name_leads_to(world: ZonesWorld, name: str, where: str) -> None:
    """RFC 8555, 8.4. A zone may be just the challenge's own name."""
    issuer = world.ready()
    assert issuer.solver.place_of(f"_acme-challenge.{name}.example.com").name == where  # type: ignore[attr-defined]
    answer = obtained(issuer, world.request(dns_names=[f"{name}.example.com"]))
    assert names_of(answer.chain[0]).dns_names == (f"{name}.example.com",)
    assert world.far.texts(where) == []


def test_a_zone_of_its_own_is_found_without_being_named(world: ZonesWorld) -> None:
    solver = Rfc2136Solver({"server": f"127.0.0.1:{world.far.port}"}, "challenge")
    assert solver.place_of("_acme-challenge.own.example.com").zone == "_acme-challenge.own.example.com"
    assert solver.place_of("x.dyn.example.net").zone == "dyn.example.net"


def test_cnames_without_an_end(world: ZonesWorld) -> None:
    found = refused(world.ready(), world.request(dns_names=["around.example.com"]))
    assert "have no end" in str(found)


def test_a_delegated_zone_is_not_written_above(world: ZonesWorld) -> None:
    """The primary answers with a referral: the record would be written where nobody looks."""
    options = {key: value for key, value in world.names.solver().items() if key != "type"}
    with pytest.raises(Exception, match="it has delegated _acme-challenge.own.example.com"):
        Rfc2136Solver(options, "challenge").place_of("x._acme-challenge.own.example.com")


def test_one_silent_server_costs_one_time_out(world: ZonesWorld) -> None:
    """Not one a name, which would take a minute."""
    wanted = challenges(12, "silent.example.com")
    with silent_server() as silent:
        solver = world.solver(authoritative=[f"127.0.0.1:{world.names.port}", silent], timeout="5s")
        began = time.monotonic()
        solver.present(wanted, None)
        took = time.monotonic() - began
    solver.cleanup(wanted, None)
    assert 5 <= took + 1 and took < 45, took
    assert world.names.texts("_acme-challenge.n0.silent.example.com") == []


def test_a_hundred_names_need_few_connections(world: ZonesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, made = challenges(100, "many.example.com"), []
    real = dns.query.tcp
    monkeypatch.setattr(dns.query, "tcp", lambda *args, **kwargs: (made.append(1), real(*args, **kwargs))[1])
    solver = world.solver(timeout="5m")
    solver.rehearse([each.domain for each in wanted], "")
    solver.present(wanted, None)
    assert world.names.texts("_acme-challenge.n99.many.example.com") == ["value-99"]
    solver.cleanup(wanted, None)
    assert world.names.texts("_acme-challenge.n99.many.example.com") == []
    assert len(made) < 100, len(made)


def test_time_for_dns_is_not_the_cas(world: ZonesWorld) -> None:
    """The issuer's timeout is shorter than what DNS needs; only challenge.timeout bounds that."""
    with silent_server() as silent:
        slow = world.challenge(authoritative=[f"127.0.0.1:{world.names.port}", silent], timeout="10s")
        # A request that has to be repeated afterwards, for which time must be left.
        world.proxy.before.append(times(1, "/chalZ/", lambda: Answer.problem(503, "serverInternal")))
        obtained(world.ready(challenge=slow, timeout="9s"), world.request(dns_names=["slow.example.com"]))


def test_a_record_stays_while_the_ca_may_look(world: ZonesWorld) -> None:
    """The CA heard that it may look, and does not say what it saw. The run after it finishes the order, and takes the record away."""
    issuer, request = world.ready(timeout="12s"), world.request(dns_names=["late.example.com"])

    def heard(seen: Seen) -> Answer | None:
        if seen.method != "POST" or "/chalZ/" not in seen.path:
            return None
        challenge = {"type": "dns-01", "status": "processing", "url": "https://localhost/", "token": "x"}
        return Answer.json(challenge, Replay_Nonce="c3BlbnQ")

    world.proxy.before.append(heard)
    assert "takes too long" in str(refused(issuer, request))
    assert len(world.names.texts("_acme-challenge.late.example.com")) == 1
    world.proxy.before.clear()
    obtained(world.issuer(challenge=world.challenge()), request)
    assert world.names.texts("_acme-challenge.late.example.com") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"zones": [{"server": "192.0.2.1"}]}, "zones: one has no zone"),
        ({"server": "192.0.2.1", "resolvers": ["ns.example.com"]}, "resolvers: 'ns.example.com' is not an address"),
        ({"zones": [{"zone": "example.com", "server": "192.0.2.1", "sekret": "x"}]}, "unknown option 'sekret'"),
        ({}, "challenge: server"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], words: str) -> None:
    with pytest.raises(Exception, match=words):
        Rfc2136Solver(options, "challenge")
