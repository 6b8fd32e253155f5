# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dns-01 with BIND and Pebble, which asks BIND; and with a program of the user's."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acme_servers import bind, pebble, proxy
from acme_servers.bind import Bind
from acme_servers.pebble import Pebble
from acme_servers.proxy import Answer, times
from acme_servers.servers import Pair
from acme_servers.world import Responder, World, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import names_of
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.acme import AcmeIssuer
from tools.ports import free_port

PROGRAM = """\
import json, sys
with open(sys.argv[1], "a") as log:
    log.write(json.dumps(sys.argv[2:]) + "\\n")
if sys.argv[1].endswith("failing"):
    sys.exit("the provider is closed today")
"""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    with bind.running(tmp_path_factory.mktemp("bind")) as running:
        yield running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory, pair: Pair, names: Bind) -> Iterator[Pebble]:
    with pebble.running(tmp_path_factory.mktemp("pebble"), pair, dns=f"127.0.0.1:{names.port}") as running:
        yield running


@dataclasses.dataclass
class DnsWorld(World):
    """With its challenges in DNS."""

    names: Bind = None  # type: ignore[assignment]

    def options(self, **changes: object) -> dict[str, object]:
        return {**super().options(challenge=self.names.solver()), **changes}

    def ready(self, **changes: object) -> AcmeIssuer:
        issuer = self.issuer(**changes)
        issuer.prepare(now())
        return issuer


@pytest.fixture
def world(tmp_path: Path, ca: Pebble, front: proxy.Proxy, names: Bind) -> DnsWorld:
    return DnsWorld(tmp_path, ca, front, Responder(), names=names)


def test_a_wildcard_and_what_is_below_it(world: DnsWorld) -> None:
    """Two records at one name at once; both are gone afterwards, on both servers."""
    answer = obtained(world.ready(), world.request(dns_names=["*.wild.example.com", "wild.example.com"]))
    assert names_of(answer.chain[0]).dns_names == ("*.wild.example.com", "wild.example.com")
    assert world.names.texts("_acme-challenge.wild.example.com") == []


def test_no_thumbprint_for_servers(world: DnsWorld) -> None:
    assert world.ready().thumbprints() == ()


def test_records_are_taken_away_after_a_failure_too(world: DnsWorld) -> None:
    issuer = world.ready()
    world.proxy.before.append(times(1000, "/chalZ/", lambda: Answer.problem(403, "unauthorized")))
    refused(issuer, world.request(dns_names=["fails.example.com"]))
    assert world.names.texts("_acme-challenge.fails.example.com") == []


@pytest.mark.parametrize("moment", ["/chalZ/", "/finalize-order/"])
def test_the_record_of_a_killed_run_is_taken_away_by_the_next(
    world: DnsWorld, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Killed before the CA had looked, or between its look and the clean-up."""
    label = moment.strip("/z").lower()
    issuer, request = world.ready(), world.request(dns_names=[f"*.{label}.example.com"])
    monkeypatch.setattr(issuer.solver, "cleanup", lambda *arguments: None)
    world.proxy.before.append(times(1000, moment, lambda: Answer.problem(403, "unauthorized")))
    refused(issuer, request)
    assert len(world.names.texts(f"_acme-challenge.{label}.example.com")) == 1
    world.proxy.before.clear()
    obtained(world.issuer(), request)
    assert world.names.texts(f"_acme-challenge.{label}.example.com") == []


def test_an_update_that_is_refused(world: DnsWorld) -> None:
    world.ready()
    unsigned = world.issuer(challenge=world.names.solver(tsig=None))
    assert "it refuses the update of example.com: REFUSED" in str(refused(unsigned, world.request()))
    stranger = {"name": "stranger", "secret": world.names.secret}
    found = refused(world.issuer(challenge=world.names.solver(tsig=stranger)), world.request())
    assert "update of example.com" in str(found)
    assert "see challenge.server and challenge.tsig" in str(found).lower()
    wrong = {"name": "update", "secret": "d3Jvbmcgc2VjcmV0IHdyb25nIHNlY3JldA=="}
    found = refused(world.issuer(challenge=world.names.solver(tsig=wrong)), world.request())
    assert "d3Jvbmcg" not in str(found)
    assert world.pebble.lines("No TXT records found") == []


def test_a_zone_that_the_server_does_not_have(world: DnsWorld) -> None:
    world.ready()
    orders = len(world.proxy.paths("/order-plz"))
    found = refused(world.issuer(), world.request(dns_names=["www.example.net"]))
    assert "not authoritative for any zone of _acme-challenge.www.example.net" in str(found)
    assert len(world.proxy.paths("/order-plz")) == orders


def test_a_server_that_is_down(world: DnsWorld) -> None:
    world.ready()
    down = world.names.solver(server=f"127.0.0.1:{free_port()}")
    assert "Timeout" in str(refused(world.issuer(challenge=down), world.request()))


def test_the_ca_waits_for_all_servers(world: DnsWorld, tmp_path: Path) -> None:
    """A secondary that does not hear of updates: the CA might ask just this one, so it is not told to look."""
    world.ready()
    with bind.running(tmp_path / "deaf", notify=False) as deaf:
        solver = deaf.solver(timeout="3s")
        found = refused(world.issuer(challenge=solver), world.request())
        assert f"show _acme-challenge.www.example.com (127.0.0.1:{deaf.second}); the CA was not asked" in str(found)
        assert deaf.texts("_acme-challenge.www.example.com") == []
    assert world.proxy.paths("/chalZ/") == []


def test_a_server_that_never_answers_stops_nobody(world: DnsWorld) -> None:
    world.ready()
    servers = [f"127.0.0.1:{world.names.port}", f"127.0.0.1:{free_port()}"]
    obtained(world.issuer(challenge=world.names.solver(authoritative=servers, timeout="2s")), world.request())


def test_a_program_of_the_users(world: DnsWorld, tmp_path: Path) -> None:
    """It is told what to do; here it does so with nsupdate's twin, our own solver's server."""
    helper, log = tmp_path / "nsupdate.py", tmp_path / "log"
    helper.write_text(
        "import json, sys, dns.update, dns.query, dns.tsigkeyring\n"
        "log, verb, domain, name, value = sys.argv[1:]\n"
        f"ring = dns.tsigkeyring.from_text({{'update.': '{world.names.secret}'}})\n"
        "update = dns.update.UpdateMessage('example.com', keyring=ring)\n"
        "update.add(name + '.', 60, 'TXT', value) if verb == 'present' else update.delete(name + '.')\n"
        f"assert dns.query.tcp(update, '127.0.0.1', port={world.names.port}, timeout=10).rcode() == 0\n"
        "open(log, 'a').write(json.dumps([verb, domain, name]) + '\\n')\n"
    )
    world.ready()
    program = {"type": "command", "command": [sys.executable, str(helper), str(log)]}
    answer = obtained(world.issuer(challenge=program), world.request(dns_names=["*.mine.example.com"]))
    assert isinstance(answer, Issued)
    assert [json.loads(line) for line in log.read_text().splitlines()] == [
        ["present", "mine.example.com", "_acme-challenge.mine.example.com"],
        ["cleanup", "mine.example.com", "_acme-challenge.mine.example.com"],
    ]


@pytest.mark.parametrize(
    ("command", "timeout", "words"),
    [
        ([sys.executable, "SCRIPT", "FOLDER/failing"], "2m", "it ended with 1: the provider is closed today"),
        (["/no/such/program"], "2m", "it cannot be started: No such file or directory"),
        (["/bin/sh", "-c", "sleep 30"], "1s", "it took longer than 1 s"),
    ],
)
def test_a_program_that_fails(world: DnsWorld, tmp_path: Path, command: list[str], timeout: str, words: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    world.ready()
    filled = [each.replace("SCRIPT", str(tmp_path / "program.py")).replace("FOLDER", str(tmp_path)) for each in command]
    challenge = {"type": "command", "command": filled, "timeout": timeout}
    found = refused(world.issuer(challenge=challenge), world.request())
    assert words in str(found)
    assert world.proxy.paths("/chalZ/") == []
