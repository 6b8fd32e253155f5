# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second, quite different ACME server: its own renewal information, its profiles, its external accounts."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from acme_servers import acme2certifier, proxy
from acme_servers.acme2certifier import Acme2certifier
from acme_servers.pebble import Pebble
from acme_servers.servers import Pair
from acme_servers.world import Responder, World, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account_key import thumbprint
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_window import ari_id
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError


@dataclasses.dataclass
class Other(World):
    """With acme2certifier behind the proxy."""

    server: Acme2certifier = None  # type: ignore[assignment]

    def options(self, **changes: Any) -> dict[str, Any]:
        own = {"anchors": self.server.root, "external_account": self.server.external, "contact": ["tls@example.com"]}
        return {
            "directory_url": self.proxy.directory_url,
            "ca_certificate": str(self.pebble.pair.root),
            "terms_agreed": True,
            "challenge": {"type": "http-01", "check": False},
            "timeout": "5m",
            **own,
            **changes,
        }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme2certifier]:
    with acme2certifier.running(tmp_path_factory.mktemp("acme2certifier")) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: Acme2certifier, pair: Pair) -> Iterator[Other]:
    with proxy.running(pair, server.port, path="/directory", upstream_tls=False) as front:
        # Of Pebble only the pair is used, which is the proxy's own.
        yield Other(tmp_path, Pebble(0, 0, pair, 0, tmp_path / "log"), front, Responder(), server=server)


def test_a_certificate_and_its_renewal_information(world: Other) -> None:
    issuer = world.issuer()
    leaf = obtained(issuer, world.request()).chain[0]
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    moment = world.issuer().advice(leaf, now())
    assert moment is not None
    # The server's window is the last 15 % of the life; the last twentieth is ours to cut off.
    assert leaf.not_valid_before_utc + 0.84 * life < moment <= leaf.not_valid_after_utc - life / 20
    assert world.issuer().advice(leaf, now()) == moment
    assert world.proxy.paths(f"/{ari_id(leaf)}") == [f"/acme/renewal-info/{ari_id(leaf)}"]
    world.issuer().advice(leaf, now() + dt.timedelta(hours=2, minutes=1))
    assert len(world.proxy.paths(f"/{ari_id(leaf)}")) == 2


def test_a_renewal(world: Other) -> None:
    leaf = obtained(world.issuer(), world.request()).chain[0]
    again = obtained(world.issuer(), world.request(present=leaf)).chain[0]
    assert again.serial_number != leaf.serial_number
    assert len(world.rows()) == 2


def test_profiles(world: Other) -> None:
    obtained(world.issuer(profile="short"), world.request())
    found = refused(world.issuer(profile="shortlived"), world.request())
    assert "has no profile 'shortlived'. Its profiles: short, usual" in str(found)
    assert [each.payload["profile"] for each in world.proxy.accepted("order") if "profile" in (each.payload or {})] == [
        "short"
    ]


def test_external_accounts(world: Other) -> None:
    with pytest.raises(SpecError, match="those it knows from elsewhere"):
        world.issuer(external_account=None).prepare(now())
    with pytest.raises(Exception, match="the CA refuses"):
        world.issuer(external_account={"kid": "customer-1", "hmac_key": "d3Jvbmc"}).prepare(now())
    world.issuer().prepare(now())


def test_an_account_is_taken_over_and_gets_another_key(world: Other) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    url = world.issuer("elsewhere").register(world.issuer("elsewhere").connect(key))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    issuer = world.issuer(account_key=pem)
    issuer.prepare(now())
    account = issuer.accounts.kept()
    assert account is not None and (account.url, account.thumbprint) == (url, thumbprint(key))
    obtained(world.issuer(account_key=pem), world.request())
    issuer.renew_account_key()
    after = world.issuer().accounts.kept()
    assert after is not None and after.url == url and after.thumbprint != account.thumbprint
    obtained(world.issuer(account_key=pem), world.request())
