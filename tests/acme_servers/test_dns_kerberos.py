# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dns-01 with updates that a Kerberos ticket signs (GSS-TSIG): MIT Kerberos, BIND and Pebble."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acme_servers import bind, pebble, proxy
from acme_servers.bind import Bind
from acme_servers.kerberos import HOST, Kerberos
from acme_servers.pebble import Pebble
from acme_servers.servers import Pair
from acme_servers.world import Responder, World, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError, SpecError
from ansible_collections.fleet.tls.plugins.sub_plugins.solver.dns_rfc2136 import Rfc2136Solver


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, realm: Kerberos) -> Iterator[Bind]:
    with bind.running(tmp_path_factory.mktemp("bind"), kerberos=realm) as running:
        yield running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory, pair: Pair, names: Bind) -> Iterator[Pebble]:
    with pebble.running(tmp_path_factory.mktemp("pebble"), pair, dns=f"127.0.0.1:{names.port}") as running:
        yield running


@dataclasses.dataclass
class KerberosWorld(World):
    """With BIND, which takes tickets for its name."""

    names: Bind = None  # type: ignore[assignment]

    def options(self, **changes: object) -> dict[str, object]:
        gss: Any = changes.pop("gss", {"service": HOST})
        return {**super().options(challenge=self.names.solver(tsig=None, gss=gss)), **changes}

    def ready(self, **changes: object) -> Any:
        issuer = self.issuer(**changes)
        issuer.prepare(now())
        return issuer


@pytest.fixture
def world(tmp_path: Path, ca: Pebble, front: proxy.Proxy, names: Bind) -> KerberosWorld:
    return KerberosWorld(tmp_path, ca, front, Responder(), names=names)


def test_a_certificate_with_a_keytab(world: KerberosWorld, realm: Kerberos, controller: Any) -> None:
    """And, by the ticket that is in the cache by then, with nothing else; whoever is named has to be its owner."""
    controller("ansible")
    obtained(world.ready(), world.request(dns_names=["*.kerberos.example.com", "kerberos.example.com"]))
    assert world.names.texts("_acme-challenge.kerberos.example.com") == []
    gss = {"service": HOST, "principal": realm.principal}
    obtained(world.issuer(gss=gss), world.request(dns_names=["named.kerberos.example.com"]))
    assert (realm.folder / "ansible.cache").exists()
    found = refused(world.issuer(gss={**gss, "principal": realm.stranger}), world.request(dns_names=["x.example.com"]))
    assert "no key with Kerberos for DNS/ns.example.com" in str(found)


def test_somebody_else_of_the_realm(world: KerberosWorld, controller: Any) -> None:
    controller("stranger")
    found = refused(world.ready(), world.request(dns_names=["else.example.com"]))
    assert "it refuses the update of example.com: REFUSED" in str(found)


def test_no_ticket(world: KerberosWorld, controller: Any) -> None:
    controller(None)
    found = str(refused(world.ready(), world.request(dns_names=["none.example.com"])))
    assert "no key with Kerberos for DNS/ns.example.com" in found and "Get a ticket (kinit)" in found
    assert world.proxy.paths("/chalZ/") == []


def test_a_ticket_for_another_server(world: KerberosWorld, controller: Any) -> None:
    controller("ansible")
    issuer = world.ready(gss={"service": "other.example.com"})
    found = str(refused(issuer, world.request(dns_names=["wrong.example.com"])))
    assert "it does not take the ticket for DNS/other.example.com: BADKEY" in found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"server": "192.0.2.1", "gss": True}, "Kerberos knows servers by name, and '192.0.2.1' is an address"),
        ({"server": HOST, "gss": True, "tsig": {"name": "a", "secret": "YQ=="}}, "two ways to sign an update"),
        ({"server": HOST, "gss": {"principle": "a"}}, "did you mean 'principal'"),
        ({"server": HOST, "gss": "kerberos"}, "gss"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as found:
        Rfc2136Solver(options, "challenge")
    assert words.lower() in str(found.value).lower()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    solver = Rfc2136Solver({"server": HOST, "gss": True}, "challenge")
    assert solver.primary is not None
    with pytest.raises(DependencyError, match=r"'gssapi' is missing.*pip install gssapi"):
        solver.primary.signature(solver.lookup)
    assert Rfc2136Solver({"server": HOST, "gss": False}, "challenge").primary.signature(solver.lookup) == {}  # type: ignore[union-attr]
