# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proxy needs to verify its upstreams, and to be taken by them: which files, with which CAs, revocation lists and pairs.

The files are ``<directory>/upstreams/<owner>/<site>.<what>.pem``; the templates of web servers go by these names.
"""

from __future__ import annotations

import datetime as dt
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import KeepsCrls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.client_trust import ClientTrust, client_trust

FOLDER = "upstreams"
ANCHORS, CRLS, CLIENT, CHAIN, CA = "anchors", "crls", "client", "chain", "ca"


def upstream_file(folder: str, site: str, what: str) -> str:
    """The path of one of a site's files."""
    return posixpath.join(folder, f"{site}.{what}.pem")


@dataclass
class UpstreamTrust:
    """Whom a fleet trusts as upstreams, and for each site of a server what that comes to.

    :param names: the issuers whose CAs are trusted where a site does not say; None: all.
    :param anchors: PEM texts of others, by their names.
    :param revocation: whether it is checked, where all of the CAs of a site keep their lists with us.
    :param renew: sign lists anew where that is due.
    :param held: lists that the host has, as in :func:`client_trust`.
    """

    issuers: Mapping[str, Issuer]
    names: Sequence[str] | None
    anchors: Any
    now: dt.datetime
    revocation: bool = True
    renew: bool = True
    held: Sequence[x509.CertificateRevocationList] = ()
    _known: dict[str, ClientTrust] = field(default_factory=dict)

    def of(self, tls: Mapping[str, Any]) -> ClientTrust:
        """The CAs and lists for one site.

        :param tls: ``upstream_tls`` of a site, see :class:`web.upstreams.UpstreamTls`.
        :raises TlsError: as :func:`client_trust`: an unknown issuer, nothing to trust.
        """
        given = tls["issuers"] is not None
        names = list(tls["issuers"] if given else self.issuers if self.names is None else self.names)
        anchors = tls["anchors"] if given else self.anchors
        key = repr((names, anchors))
        if key not in self._known:
            # Servers refuse everybody of a CA without a current list: it is checked where it is sure that there is one of every CA.
            sure = not anchors and all(isinstance(self.issuers.get(name), KeepsCrls) for name in names)
            self._known[key] = client_trust(
                self.issuers,
                names,
                anchors,
                [],
                self.now,
                revocation=self.revocation and sure,
                renew=self.renew,
                held=self.held,
            )
        return self._known[key]


@dataclass(frozen=True)
class UpstreamFiles:
    """What a host gets for its sites' upstreams.

    :param files: entries of ``files`` of step configure.
    :param upstreams: entries of its ``upstreams``.
    :param with_crls: the sites whose upstreams are checked against revocation lists, for templates.
    """

    files: tuple[dict[str, Any], ...]
    upstreams: tuple[dict[str, Any], ...]
    with_crls: tuple[str, ...]
    trusts: tuple[ClientTrust, ...]


def upstream_files(sites: Sequence[Mapping[str, Any]], folder: str, server: str, trust: UpstreamTrust) -> UpstreamFiles:
    """The files and proofs for the upstreams of sites that are served already.

    :param sites: as :func:`web.sites.expand_sites` returns them.
    :param folder: where the files go on the host.
    :param server: which web server; Apache wants the chain of its own certificate apart, and shows upstreams their own name.
    """
    files: list[dict[str, Any]] = []
    upstreams: list[dict[str, Any]] = []
    trusts: list[ClientTrust] = []
    with_crls: list[str] = []
    for site in sites:
        tls = site["upstream_tls"]
        if tls is None or site["waiting"]:
            continue
        mine: dict[str, dict[str, Any]] = {}
        if tls["verify"] and tls["system"]:
            mine[ANCHORS] = {"system_trust": True}
        elif tls["verify"]:
            chosen = trust.of(tls)
            trusts.append(chosen)
            mine[ANCHORS] = {"content": chosen.bundle}
            if chosen.crls:
                mine[CRLS] = {"content": chosen.crls, "over": []}
                with_crls.append(site["name"])
        if tls["certificate"]:
            form = "leaf" if server == "apache" else "combined"
            mine[CLIENT] = {"pair": tls["certificate"], "form": form, "mode": "0600"}
            if server == "apache":
                mine[CHAIN] = {"pair": tls["certificate"], "form": "chain"}
                # It sends the chain of its certificate only as far as it finds it among the CAs that it verifies by. None of these
                # becomes an anchor by that: a chain has to end at a root.
                mine[CA] = {**mine.get(ANCHORS, {}), **mine[CHAIN]}
        paths = {what: upstream_file(folder, site["name"], what) for what in mine}
        files += [{"path": paths[what], **source} for what, source in mine.items()]
        upstreams.append(asked(site, paths, server))
    return UpstreamFiles(tuple(files), tuple(upstreams), tuple(with_crls), tuple(trusts))


def upstream_bundles(sites: Sequence[Mapping[str, Any]], server: str, directory: str) -> list[dict[str, Any]]:
    """The bundle files of a host's upstreams, for the proof of a CA's rotation.

    :param directory: the collection's own on the host.
    :returns: ``[{path, issuers}]``; ``issuers`` None: those that the fleet trusts.
    """
    folder = posixpath.join(directory, FOLDER, server)
    return [
        {"path": upstream_file(folder, site["name"], ANCHORS), "issuers": site["upstream_tls"]["issuers"]}
        for site in sites
        if site["upstream_tls"] and site["upstream_tls"]["verify"] and not site["upstream_tls"]["system"]
    ]


def asked(site: Mapping[str, Any], paths: Mapping[str, str], server: str) -> dict[str, Any]:
    """One of ``upstreams`` of step configure."""
    address, tls, proxy = site["upstream_address"], site["upstream_tls"], site["endpoints"][0]
    own_name = server == "apache" and tls["verify"]
    return {
        "site": site["name"],
        "url": site["upstream"],
        "host": address["host"],
        "port": address["port"],
        "name": tls["name"],
        "path": address["path"] or "/",
        "host_header": address["host"] if own_name else proxy["server_name"] or address["host"],
        "anchors": paths.get(ANCHORS),
        "crls": paths.get(CRLS),
        "client": [paths[what] for what in (CLIENT, CHAIN) if what in paths],
        "proxy": {key: proxy[key] for key in ("host", "port", "server_name")},
    }
