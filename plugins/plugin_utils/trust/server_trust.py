# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what one server verifies its clients and its sites' upstreams, from the options of ``fleet.tls.service_config``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem, is_crl_of
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import KeepsCrls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.client_trust import ClientTrust, client_trust
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.upstream_trust import (
    UpstreamFiles,
    UpstreamTrust,
    upstream_files,
)


@dataclass(frozen=True)
class ServerTrust:
    """By what it verifies them; None: by nothing of ours."""

    clients: ClientTrust | None
    upstreams: UpstreamFiles | None

    @property
    def all(self) -> tuple[ClientTrust, ...]:
        """That of the clients, and of each site's upstream."""
        return (*([self.clients] if self.clients else ()), *(self.upstreams.trusts if self.upstreams else ()))

    @property
    def due(self) -> bool:
        """Whether revocation lists are to be signed anew, which was not to be done."""
        return any(each.due for each in self.all)


@dataclass(frozen=True)
class TrustOptions:
    """What is wanted.

    :param clients, upstreams: the options ``client_trust`` and ``upstreams`` of the task; None where they are not given.
    :param folder: where the files for upstreams are on the host.
    """

    clients: Mapping[str, Any] | None
    upstreams: Mapping[str, Any] | None
    folder: str

    @property
    def dated(self) -> bool:
        """Whether anything that has a date comes of it."""
        return bool(self.clients) or wants_trust(self.upstreams)

    def trust(
        self, now: dt.datetime, held: Sequence[x509.CertificateRevocationList] = (), *, renew: bool
    ) -> ServerTrust:
        """What that comes to.

        :param held: lists that the host has shown, see :func:`client_trust`.
        :param renew: whether lists that are due are signed anew, with what the host's list.
        :raises TlsError: nothing to trust, a CA without a current list, an unknown issuer.
        """
        return ServerTrust(
            self.client_trust(self.clients, now, held, renew) if self.clients else None,
            self.upstream_files(self.upstreams, now, held, renew) if self.upstreams else None,
        )

    def client_trust(
        self, raw: Mapping[str, Any], now: dt.datetime, held: Sequence[x509.CertificateRevocationList], renew: bool
    ) -> ClientTrust:
        """The CAs and lists by which clients are verified."""
        issuers = load(raw)
        names = list(issuers) if raw["from_issuers"] is None else raw["from_issuers"]
        return client_trust(
            issuers, names, raw["anchors"], raw["crls"], now, revocation=raw["revocation"], renew=renew, held=held
        )

    def upstream_files(
        self, raw: Mapping[str, Any], now: dt.datetime, held: Sequence[x509.CertificateRevocationList], renew: bool
    ) -> UpstreamFiles:
        """What the upstreams of sites need."""
        issuers = load(raw) if wants_trust(raw) else {}
        whom = UpstreamTrust(issuers, raw["from_issuers"], raw["anchors"], now, raw["revocation"], renew, held)
        return upstream_files(raw["sites"], self.folder, raw["server"], whom)

    def signed_by_ours(self, held: Sequence[x509.CertificateRevocationList], now: dt.datetime) -> list[str]:
        """Those of a host's lists that CAs of these issuers have signed, PEM. What a host made itself, nobody needs to remember."""
        issuers = [issuer for raw in (self.clients, self.upstreams) if raw for issuer in load(raw).values()]
        ours = [ca for issuer in issuers if isinstance(issuer, KeepsCrls) for ca in issuer.crl_authorities(now)]
        return [crl_to_pem(crl) for crl in held if any(is_crl_of(crl, ca) for ca in ours)]


def load(raw: Mapping[str, Any]) -> dict[str, Issuer]:
    """The issuers of one of the options."""
    return load_issuers(raw["issuers"], load_store(raw["store"])) if raw["issuers"] else {}


def wants_trust(upstreams: Mapping[str, Any] | None) -> bool:
    """Whether a site has an upstream that is verified."""
    return any(site["upstream_tls"] and site["upstream_tls"]["verify"] for site in (upstreams or {}).get("sites", ()))
