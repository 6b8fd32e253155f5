# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an issuer of type ``acme``, parsed and refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account_key import parse_account_key
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.rate_limits import Limit, parse_limits
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_path
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.name_servers import NameServer, parse_resolvers
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Solver, load_solver
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import parse_email_address
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import parse_path_or_pem, read_file
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.system_anchors import system_anchors
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain

# CAs hand the key out in either alphabet (RFC 4648, 4 and 5), padded or not.
BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}|[A-Za-z0-9_-]+={0,2}")


@dataclass(frozen=True)
class AcmeOptions:
    """What a user may say of an ACME CA.

    :param anchors: PEM text, or the path of a PEM file on the controller; None: the controller's own trust store.
    :param ca_certificate: path of what the CA's own TLS is verified with; None: the usual CAs.
    :param timeout: seconds an order may take.
    :param account_key: the private key of an account that there is already, as text, or the path of a file on the controller that has it.
    :param resolvers: whom to ask for CAA records; none: the controller's own resolver.
    """

    directory_url: str
    contact: tuple[str, ...]
    terms_agreed: bool
    solver: Solver
    profile: str | None
    preferred_chain: str | None
    external_account: Mapping[str, str] | None
    account_key: str | None = field(repr=False)
    anchors: str | None
    ca_certificate: str | None
    limits: tuple[Limit, ...]
    timeout: int
    resolvers: tuple[NameServer, ...]

    @staticmethod
    def names() -> tuple[str, ...]:
        """The options' names."""
        return (
            "directory_url", "contact", "terms_agreed", "challenge", "profile", "preferred_chain", "external_account",
            "account_key", "anchors", "ca_certificate", "limits", "timeout", "resolvers",
        )  # fmt: skip

    @classmethod
    def parse(cls, fields: Fields, where: str) -> AcmeOptions:
        """:raises SpecError: an option is missing or does not fit."""
        url = fields.text("directory_url") or ""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username:
            raise SpecError(
                f"{where}: directory_url is missing or no https address",
                remedy="write the address that the CA names, such as https://acme-v02.api.letsencrypt.org/directory",
            )
        ca_certificate = fields.text("ca_certificate")
        if ca_certificate:
            ca_certificate = parse_path(ca_certificate, f"{where}: ca_certificate")
            if not os.path.isfile(ca_certificate):
                raise SpecError(f"{where}: ca_certificate: there is no file of that name", remedy="name a PEM file")
        return cls(
            directory_url=url,
            contact=tuple(parse_email_address(each) for each in fields.strings("contact")),
            terms_agreed=fields.flag("terms_agreed"),
            solver=load_solver(fields.get("challenge"), where),
            profile=fields.text("profile"),
            preferred_chain=fields.text("preferred_chain"),
            external_account=parse_external(fields.get("external_account"), f"{where}: external_account"),
            account_key=parse_account_key_option(fields.get("account_key"), f"{where}: account_key"),
            anchors=fields.text("anchors"),
            ca_certificate=ca_certificate,
            limits=parse_limits(fields.get("limits"), parts.hostname, where),
            timeout=parse_duration(fields.get("timeout", "5m"), f"{where}: timeout"),
            resolvers=parse_resolvers(fields.strings("resolvers"), f"{where}: resolvers"),
        )

    @property
    def own_anchors(self) -> bool:
        """Whether the CA's anchors are others than those that every system trusts."""
        return self.anchors is not None

    def read_account_key(self) -> Any:
        """The private key of ``account_key``; None: there is none.

        :raises SpecError: it is no key of an account; :raises StoreError: the file cannot be read.
        """
        if self.account_key is None:
            return None
        is_path = self.account_key.startswith("/")
        text = read_file(self.account_key, "account_key").decode(errors="replace") if is_path else self.account_key
        return parse_account_key(text, "account_key")

    def read_anchors(self) -> tuple[x509.Certificate, ...]:
        """Which roots the CA's chains lead to.

        :raises SpecError: a file that is not there, or holds no certificate.
        """
        if self.anchors is None:
            return system_anchors()
        try:
            if "-----BEGIN" in self.anchors:
                return parse_pem_chain(self.anchors)
            with open(parse_path(self.anchors, "anchors"), encoding="utf-8", errors="replace") as stream:
                return parse_pem_chain(stream.read())
        except (OSError, CertificateError) as error:
            problem = error.strerror if isinstance(error, OSError) else error.message
            raise SpecError(f"anchors: {problem}", remedy="give a PEM text, or the path of a PEM file") from None


def parse_account_key_option(value: Any, where: str) -> str | None:
    """PEM or JSON as it stands, or an absolute path. A JWK may have become a mapping on its way through a template.

    :raises SpecError: none of these. Nothing of it is told.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    text = str(value).strip()
    return text if text.startswith("{") else parse_path_or_pem(text, where)


def parse_external(raw: Any, where: str) -> Mapping[str, str] | None:
    """``{kid, hmac_key}``.

    :raises SpecError: a part is missing.
    """
    if raw is None:
        return None
    fields = Fields(raw, ("kid", "hmac_key"), where)
    kid, hmac_key = fields.text("kid"), fields.text("hmac_key")
    if not kid or not hmac_key:
        raise SpecError(f"{where}: kid or hmac_key is missing", remedy="copy both as the CA gave them")
    if not BASE64.fullmatch(hmac_key):
        raise SpecError(f"{where}: hmac_key is not base64", remedy="copy it as the CA gave it")
    return {"kid": kid, "hmac_key": hmac_key.translate(str.maketrans("+/", "-_")).rstrip("=")}
