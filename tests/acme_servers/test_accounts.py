# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ACME accounts with Pebble: taken over from other clients, given new keys, lost, and closed by others."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import josepy
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from acme_servers.proxy import dropping
from acme_servers.world import World, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account import AccountKeeper
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account_key import thumbprint
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient, Payload
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, StoreError
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.acme import AcmeIssuer

WAY_OUT = "fleet.tls.rotate_acme_account -e tls_rotate_issuer=public -e tls_new_acme_account=true"


class Killed(BaseException):
    """The end of a run."""


def certbots(key: Any) -> str:
    """certbot's private_key.json."""
    return json.dumps(
        josepy.JWKRSA(key=key).to_json() if isinstance(key, rsa.RSAPrivateKey) else josepy.JWKEC(key=key).to_json()
    )


def legos(key: Any) -> str:
    """lego's and acme.sh's: PKCS#1 or SEC 1."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def pkcs8(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account_of(world: World, key: Any) -> str:
    """An account that another client made with this key: its URL."""
    return world.issuer("elsewhere").connect(key).register([], terms_agreed=True, external=None)


def answering(world: World, issuer: AcmeIssuer) -> AcmeIssuer:
    """The servers answer for the issuer's account."""
    (world.responder.thumbprint,) = issuer.thumbprints()
    return issuer


def record(world: World) -> dict[str, Any]:
    return dict(json.loads((world.folder / "store/acme/public/account.json").read_text()))


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), certbots),
        (lambda: ec.generate_private_key(ec.SECP256R1()), certbots),
        (lambda: ec.generate_private_key(ec.SECP384R1()), legos),
        (lambda: rsa.generate_private_key(65537, 2048), legos),
        (lambda: ec.generate_private_key(ec.SECP256R1()), pkcs8),
    ],
    ids=["rsa-jwk", "p256-jwk", "p384-pem", "rsa-pem", "p256-pem"],
)
def test_an_account_of_another_client_is_taken_over(world: World, make: Any, form: Any, tmp_path: Path) -> None:
    key = make()
    url, path, made = account_of(world, key), tmp_path / "account", len(world.proxy.accepted("/sign-me-up"))
    path.write_text(form(key))
    options = {"account_key": str(path)}
    issuer = world.issuer(**options)
    assert "is to be that of account_key" in str(issuer.unprepared(now()))
    issuer.prepare(now())
    assert record(world)["url"] == url and issuer.thumbprints() == (thumbprint(key),)
    (asked,) = world.proxy.accepted("/sign-me-up")[made:]
    assert asked.payload == {"onlyReturnExisting": True}
    sealed = (world.folder / "store/acme/public/account.key").read_text()
    assert "ENCRYPTED" in sealed and form(key).splitlines()[1:2] != sealed.splitlines()[1:2]
    obtained(answering(world, world.issuer(**options)), world.request())
    # It is in the store by now. The file is not needed any more, nor the option.
    path.unlink()
    assert world.issuer(**options).unprepared(now()) is None
    obtained(world.issuer(), world.request())
    assert record(world)["url"] == url


def test_as_text_too_and_in_place_of_the_present_account(world: World) -> None:
    world.ready()
    first, key = record(world)["url"], ec.generate_private_key(ec.SECP384R1())
    url = account_of(world, key)
    issuer = world.issuer(account_key=json.loads(certbots(key)))
    issuer.prepare(now())
    assert record(world)["url"] == url != first
    assert pkcs8(key).splitlines()[1] not in repr(issuer.options)
    # A key that was changed since stays: that of the option is an old one.
    issuer.renew_account_key()
    assert world.issuer(account_key=pkcs8(key)).unprepared(now()) is None


def test_a_key_without_an_account(world: World) -> None:
    issuer = world.issuer(account_key=pkcs8(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(IssuerError, match=r"has no account for the key in account_key.*leave account_key out"):
        issuer.prepare(now())
    assert not (world.folder / "store/acme").exists() or not list((world.folder / "store/acme").rglob("account.*"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("account.key", "neither a PEM text nor the absolute path"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "not a private key that can be read"),
        ('{"kty": "RSA", "n": "AQAB"}', "not a private key that can be read"),
        ('{"kty": "oct", "k": "c2VjcmV0LXNlY3JldA"}', "not a private key|cannot be an account's"),
        (pkcs8(ec.generate_private_key(ec.SECP521R1())), "cannot be an account's"),
    ],
)
def test_what_is_no_key_of_an_account(world: World, value: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        world.issuer(account_key=value).prepare(now())
    assert "c2VjcmV0" not in str(caught.value)


def test_another_key_takes_over(world: World) -> None:
    issuer = world.ready()
    url, (old,) = record(world)["url"], issuer.thumbprints()
    former, _account = world.issuer().accounts.client()
    said = world.issuer().renew_account_key()
    (new,) = world.issuer().thumbprints()
    assert new != old and new in said and record(world)["url"] == url
    obtained(answering(world, world.issuer()), world.request())
    assert former.find() is None


def test_two_runs_at_once_change_the_key(world: World) -> None:
    """Each on top of the other: what the store has in the end is the account's key."""
    world.ready()
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda _number: world.issuer().renew_account_key(), range(2)))
    assert len(set(said)) == 2 and not record(world)["successor"]
    obtained(answering(world, world.issuer()), world.request())


def killed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AcmeClient, "change_key", killing)


def killed_after(monkeypatch: pytest.MonkeyPatch) -> None:
    change = AcmeClient.change_key

    def changed(*arguments: Any) -> None:
        change(*arguments)
        raise Killed

    monkeypatch.setattr(AcmeClient, "change_key", changed)


def killed_before_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = AccountKeeper.keep_key

    def kept(keeper: AccountKeeper, name: str, key: Any) -> None:
        keep(keeper, name, key)
        if name == "account.key":
            raise Killed

    monkeypatch.setattr(AccountKeeper, "keep_key", kept)


def killing(*_arguments: Any) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("kill", "changed"), [(killed_before, False), (killed_after, True), (killed_before_the_record, True)]
)
@pytest.mark.parametrize("again", [False, True])
def test_a_change_that_was_killed(
    world: World, kill: Any, changed: bool, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = world.ready().thumbprints()
    url = record(world)["url"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill(patch)
        world.issuer().renew_account_key()
    begun = record(world)["successor"]
    assert begun and "is being changed" in str(world.issuer().unprepared(now()))
    if again:
        world.issuer().renew_account_key()
    else:
        world.issuer().prepare(now())
    (new,) = world.issuer().thumbprints()
    # What the CA has done is taken on, and what it has not is either left or, where asked for, done.
    assert (new == begun) == changed and (new == old) == (not changed and not again)
    assert record(world)["url"] == url and record(world)["successor"] is None
    obtained(answering(world, world.issuer()), world.request())


def test_the_answer_to_a_change_is_lost(world: World) -> None:
    world.ready()
    url, begun = record(world)["url"], world.issuer()
    world.proxy.after.append(dropping(1, "/rollover"))
    with pytest.raises(IssuerError):
        begun.renew_account_key()
    assert record(world)["successor"]
    world.issuer().renew_account_key()
    assert record(world)["url"] == url and not record(world)["successor"]
    obtained(answering(world, world.issuer()), world.request())


def test_a_deactivated_account_has_a_way_out(world: World) -> None:
    issuer = world.ready()
    client, account = issuer.accounts.client()
    client.network.send(account.url, Payload({"status": "deactivated"}))
    error = refused(world.issuer(), world.request())
    assert "no longer takes the ACME account of 'public'" in str(error) and WAY_OUT in str(error)
    assert account.url not in world.issuer().renew_account()
    obtained(answering(world, world.issuer()), world.request())


def test_a_lost_key_has_a_way_out(world: World) -> None:
    world.ready()
    url = record(world)["url"]
    (world.folder / "store/acme/public/account.key").unlink()
    with pytest.raises(StoreError) as caught:
        world.issuer().issue([world.request()], now())
    assert "account_key" in str(caught.value) and WAY_OUT in str(caught.value)
    world.issuer().renew_account()
    assert record(world)["url"] != url
    obtained(answering(world, world.issuer()), world.request())


def test_a_key_that_was_changed_elsewhere_has_a_way_out(world: World) -> None:
    client, account = world.ready().accounts.client()
    key = ec.generate_private_key(ec.SECP256R1())
    client.change_key(account.url, key)
    error = refused(world.issuer(), world.request())
    assert "its key is not the account's any more" in str(error) and WAY_OUT in str(error)
    options = {"account_key": pkcs8(key)}
    world.issuer(**options).prepare(now())
    assert record(world)["url"] == account.url
    obtained(answering(world, world.issuer(**options)), world.request())
