# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way on from a web server: the ``upstream`` of a site, whom the server takes for it, and as whom it comes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import parse_host_name, parse_port
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import is_ip_address
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_NAME

UPSTREAM_FIELDS = ("upstream_verify", "upstream_trust", "upstream_name", "upstream_certificate")
PORTS = {"http": 80, "https": 443}
SYSTEM = "system"


@dataclass(frozen=True)
class UpstreamTls:
    """How a server speaks TLS with an upstream.

    :param verify: whether its certificate has to lead to what is trusted, and be for ``name``.
    :param name: what is asked for by SNI and looked for in its certificate; None: nothing.
    :param issuers: whose CAs are trusted for it; None: those that the fleet trusts, with the fleet's other anchors.
    :param anchors: PEM texts of further ones by a name of ours.
    :param system: what the host's system trusts, instead.
    :param certificate: the name of the certificate that the server shows to it; None: none.
    """

    verify: bool = True
    name: str | None = None
    issuers: tuple[str, ...] | None = None
    anchors: tuple[tuple[str, str], ...] = ()
    system: bool = False
    certificate: str | None = None

    def as_result(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "verify": self.verify,
            "name": self.name,
            "issuers": None if self.issuers is None else list(self.issuers),
            "anchors": dict(self.anchors),
            "system": self.system,
            "certificate": self.certificate,
        }


def parse_upstream_tls(fields: Fields, upstream: str | None, server: str) -> UpstreamTls | None:
    """The fields of a site that are about TLS with its upstream; None: it speaks none.

    :param server: which web server it is, as in ``tls_web_server``.
    :raises SpecError: fields without an https upstream, or that contradict each other; what no server can verify.
    """
    given = [field for field in UPSTREAM_FIELDS if fields.get(field) is not None]
    address = upstream_address(upstream) if upstream else {"scheme": None}
    if address["scheme"] != "https":
        if given:
            raise SpecError(
                f"{fields.prefix}{given[0]}: the site has no https upstream", remedy=f"leave {given[0]} out"
            )
        return None
    verify = fields.flag("upstream_verify", True)
    if not verify and "upstream_trust" in given:
        raise SpecError(
            f"{fields.prefix}upstream_trust: the upstream is not verified", remedy="leave out upstream_verify: false"
        )
    issuers, anchors, system = parse_trust(fields)
    return UpstreamTls(
        verify=verify,
        name=parse_name(fields, str(address["host"]), server, verify=verify),
        issuers=issuers,
        anchors=anchors,
        system=system,
        certificate=parse_certificate(fields),
    )


def parse_name(fields: Fields, host: str, server: str, *, verify: bool) -> str | None:
    """``upstream_name``, by default the host of the URL.

    :raises SpecError: no web server looks for an address in a certificate, and Apache for no other name than that of the URL.
    """
    text = fields.text("upstream_name")
    name = None if text is None else parse_host_name(text, f"{fields.prefix}upstream_name")
    if name is not None and (is_ip_address(name) or (server == "apache" and name != host)):
        why = "Apache knows the upstream by the name in its URL only" if server == "apache" else "it must be a name"
        raise SpecError(
            f"{fields.prefix}upstream_name: '{name}' cannot be verified: {why}",
            remedy="give the upstream by that name, as https://app.internal:8443",
        )
    if name is None and verify and is_ip_address(host):
        raise SpecError(
            f"{fields.prefix}upstream: no web server verifies an address ({host})",
            remedy="say by upstream_name (on Apache: in the URL) which name its certificate has, or write upstream_verify: false",
        )
    return name or (host if verify else None)


def parse_trust(fields: Fields) -> tuple[tuple[str, ...] | None, tuple[tuple[str, str], ...], bool]:
    """``upstream_trust``: names of issuers and PEM texts, or ``system``.

    :returns: issuers, None where it is not given; anchors; whether it is what the system trusts.
    :raises SpecError: an empty one; ``system`` beside others.
    """
    if fields.get("upstream_trust") is None:
        return None, (), False
    wanted = fields.strings("upstream_trust")
    if not wanted or (SYSTEM in wanted and len(wanted) > 1):
        raise SpecError(
            f"{fields.prefix}upstream_trust must be a list of issuers and CA certificates, or system alone",
            remedy="write [internal], or leave it out for all CAs that the fleet trusts",
        )
    texts = [each for each in wanted if "-----BEGIN" in each]
    anchors = tuple((f"upstream_trust-{number}", text) for number, text in enumerate(texts, 1))
    return tuple(each for each in wanted if each not in (*texts, SYSTEM)), anchors, wanted == [SYSTEM]


def parse_certificate(fields: Fields) -> str | None:
    """``upstream_certificate``.

    :raises SpecError: it is no name of a certificate.
    """
    name = fields.text("upstream_certificate")
    if name is not None and not CERTIFICATE_NAME.fullmatch(name):
        raise SpecError(
            f"{fields.prefix}upstream_certificate: '{name}' cannot be used",
            remedy="give the name of one of tls_certificates, with usages: [client_auth]",
        )
    return name


def upstream_address(url: str, prefix: str = "") -> dict[str, Any]:
    """``http://127.0.0.1:8080/app`` → ``{scheme, host, port, path}``.

    :raises SpecError: it is no such URL.
    """
    remedy = "write http://127.0.0.1:8080"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SpecError(f"{prefix}upstream: '{url}' is not a URL", remedy=remedy) from None
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or parts.query:
        raise SpecError(f"{prefix}upstream: '{url}' is not an http or https URL", remedy=remedy)
    host = parse_host_name(parts.hostname, f"{prefix}upstream")
    number = parse_port(port, f"{prefix}upstream") if port is not None else PORTS[parts.scheme]
    return {"scheme": parts.scheme, "host": host, "port": number, "path": parts.path}
