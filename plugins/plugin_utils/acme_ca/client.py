# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ACME client as far as this collection needs one: directory, account, orders (RFC 8555), their JSON checked before use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account_key import signing
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.library import jws, messages
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.network import AcmeError, Network
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened

RESOURCES = ("newNonce", "newAccount", "newOrder")


class Payload:
    """What a request says, as JSON; the form in which the library takes it."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    def json_dumps(self, indent: int | None = None) -> str:
        """JSON."""
        return json.dumps(self.content)


class AcmeClient:
    """A connection to one CA for one account key.

    :param network: signed requests.
    :param directory: as it was read; None: it is read at once.
    :raises AcmeError: the directory is not to be had, or is none.
    """

    def __init__(self, network: Network, directory_url: str, directory: Mapping[str, Any] | None = None) -> None:
        self.network = network
        self.directory_url = directory_url
        self.directory = network.read(directory_url) if directory is None else directory
        missing = [each for each in RESOURCES if not isinstance(self.directory.get(each), str)]
        if missing:
            raise AcmeError(
                f"{directory_url} is not an ACME directory: it lacks {', '.join(missing)}",
                remedy="see what address the CA names in its documentation",
            )
        network.new_nonce = self.directory["newNonce"]
        # What went wrong on the way without costing the certificate.
        self.notes: list[str] = []

    def another(self) -> AcmeClient:
        """The same for another thread."""
        return AcmeClient(self.network.another(), self.directory_url, self.directory)

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the directory says of the CA."""
        found = self.directory.get("meta")
        return found if isinstance(found, Mapping) else {}

    @property
    def caa_identities(self) -> tuple[str, ...]:
        """The names that stand for this CA in CAA records (RFC 8555, 7.1.1)."""
        found = self.meta.get("caaIdentities")
        return tuple(str(each) for each in found) if isinstance(found, list) else ()

    @property
    def renewal_info(self) -> str | None:
        """Where renewal information (RFC 9773) is, None: the CA offers none."""
        found = self.directory.get("renewalInfo")
        return found if isinstance(found, str) else None

    def register(self, contact: Sequence[str], *, terms_agreed: bool, external: Mapping[str, str] | None) -> str:
        """The account of the network's key, made where there is none; returns its URL.

        :param contact: mail addresses.
        :param external: ``kid`` and ``hmac_key`` of an external account (RFC 8555, 7.3.4).
        :raises SpecError: the terms were not agreed to, or an external account is needed.
        :raises AcmeError: the CA refuses.
        """
        terms = self.meta.get("termsOfService")
        if terms and not terms_agreed:
            raise SpecError(
                f"the CA has terms of service: {shortened(terms)[:300]}",
                remedy="read them and set terms_agreed: true",
            )
        content: dict[str, Any] = {"termsOfServiceAgreed": True} if terms_agreed else {}
        content["contact"] = [f"mailto:{each}" for each in contact]
        if external:
            content["externalAccountBinding"] = self.binding(external)
        elif self.meta.get("externalAccountRequired"):
            raise SpecError(
                "the CA gives accounts only to those it knows from elsewhere",
                remedy="set external_account to the kid and hmac_key that the CA gave you",
            )
        self.network.account = None
        url = self.network.send(self.directory["newAccount"], Payload(content)).headers.get("Location")
        if not url:
            raise AcmeError("the CA's answer to newAccount names no account")
        self.use(str(url))
        return str(url)

    def find(self) -> tuple[str, tuple[str, ...]] | None:
        """The account that the CA has for the network's key (RFC 8555, 7.3.1): its URL and its mail addresses; None: it has none.

        :raises AcmeError: the CA refuses.
        """
        self.network.account = None
        try:
            response = self.network.send(self.directory["newAccount"], Payload({"onlyReturnExisting": True}))
        except AcmeError as error:
            if error.problem == "accountDoesNotExist":
                return None
            raise
        url = response.headers.get("Location")
        if not url:
            raise AcmeError("the CA's answer to newAccount names no account")
        self.use(str(url))
        contact = self.network.json_of(response, str(url)).get("contact")
        known = contact if isinstance(contact, list) else []
        return str(url), tuple(str(each).removeprefix("mailto:") for each in known)

    def change_key(self, account: str, key: Any) -> None:
        """Let another key take the account over (RFC 8555, 7.3.5).

        :param key: the new private key.
        :raises AcmeError: the CA refuses, or does not offer it.
        """
        address = self.directory.get("keyChange")
        if not isinstance(address, str):
            raise AcmeError("the CA offers no change of an account's key (keyChange)")
        new, algorithm = signing(key)
        old = self.network.key.public_key().to_partial_json()  # type: ignore[union-attr]
        inner = json.dumps({"account": account, "oldKey": old}).encode()
        proof = jws.JWS.sign(inner, key=new, alg=algorithm, nonce=None, url=address)
        # An answer that is lost is no reason to ask again: the old key may sign nothing any more.
        self.network.send(address, Payload(proof.to_partial_json()), repeat_lost=False)

    def use(self, account: str) -> None:
        """Sign for this account from now on."""
        self.network.account = {"uri": account}  # type: ignore[assignment]

    def binding(self, external: Mapping[str, str]) -> dict[str, Any]:
        """The proof that the account's key belongs to a customer of the CA."""
        return messages.ExternalAccountBinding.from_data(
            self.network.key.public_key(),  # type: ignore[union-attr]
            external["kid"],
            external["hmac_key"],
            messages.Directory(self.directory),
        )

    def set_contact(self, account: str, contact: Sequence[str]) -> None:
        """Change the mail addresses of an account."""
        self.network.send(account, Payload({"contact": [f"mailto:{each}" for each in contact]}))

    def new_order(
        self, identifiers: Sequence[tuple[str, str]], profile: str | None, replaces: str | None
    ) -> tuple[str, dict[str, Any]]:
        """A new order: its URL and what it is like.

        :param identifiers: ``("dns", name)`` or ``("ip", address)``.
        :param replaces: the :func:`ari.ari_id` of the certificate that it replaces.
        """
        content: dict[str, Any] = {"identifiers": [{"type": kind, "value": value} for kind, value in identifiers]}
        content.update({"profile": profile} if profile else {})
        content.update({"replaces": replaces} if replaces else {})
        response = self.network.send(self.directory["newOrder"], Payload(content))
        url = response.headers.get("Location")
        if not url:
            raise AcmeError("the CA's answer to newOrder names no order")
        return str(url), self.checked_order(response, str(url))

    def order(self, url: str) -> tuple[dict[str, Any], Any]:
        """What has become of an order, and the headers that came with it."""
        response = self.network.fetch(url)
        return self.checked_order(response, url), response.headers

    def checked_order(self, response: Any, url: str) -> dict[str, Any]:
        """An order object (RFC 8555, 7.1.3).

        :raises AcmeError: it is none.
        """
        order = self.network.json_of(response, url)
        authorizations = order.get("authorizations")
        if (
            not isinstance(order.get("status"), str)
            or not isinstance(order.get("finalize"), str)
            or not isinstance(authorizations, list)
            or not all(isinstance(each, str) for each in authorizations)
        ):
            raise AcmeError("the CA's answer makes no sense: it is not an order")
        return order

    def authorization(self, url: str) -> tuple[dict[str, Any], Any]:
        """An authorization object (RFC 8555, 7.1.4), and the headers that came with it.

        :raises AcmeError: it is none.
        """
        response = self.network.fetch(url)
        found = self.network.json_of(response, url)
        identifier, challenges = found.get("identifier"), found.get("challenges")
        if not isinstance(identifier, dict) or not isinstance(found.get("status"), str):
            raise AcmeError("the CA's answer makes no sense: it is not an authorization")
        if not isinstance(challenges, list) or not all(isinstance(each, dict) for each in challenges):
            raise AcmeError("the CA's answer makes no sense: an authorization without challenges")
        return found, response.headers

    def profiles_checked(self, profile: str | None) -> None:
        """:raises IssuerError: the CA has no such profile."""
        offered = self.meta.get("profiles")
        known = sorted(str(each) for each in offered) if isinstance(offered, Mapping) else []
        if profile and profile not in known:
            raise IssuerError(
                f"the CA has no profile '{profile}'", remedy=f"its profiles: {', '.join(known) or 'none; leave it out'}"
            )
