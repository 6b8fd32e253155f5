# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Solver ``http_01``: http-01 (RFC 8555, 8.3), answered by the fleet's own servers, or by files in a ``webroot``.

The answer to every challenge of an account is ``<token>.<thumbprint of the account's key>``. A server that knows the thumbprint
answers them all, on any host of a pool, without a file: that is the default, and the server roles configure it. With
``webroot`` the file is put on the host that the certificate is for.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: http-01, answered by the fleet's own servers
description:
  - For names and IP addresses (RFC 8555, 8.3). Every server that the roles configure answers for the whole fleet, without any file.
  - With O(webroot), the answers are files that the web server on the host serves. Written as V(http-01) or V(http_01).
options:
  webroot:
    description: A directory on the host. The answers are files below it for as long as the CA looks.
    type: path
  check:
    description: Ask C(http://NAME/.well-known/acme-challenge/…) from the controller before the CA does. A name that leads elsewhere then costs no
      failed validation.
    type: bool
    default: true
  check_address:
    description: C(HOST) or C(HOST:PORT) that this check connects to, where the controller sees the name differently than the world does. The
      default is the name itself.
    type: str
"""
EXAMPLES = r"""
challenge: {type: http-01}
---
challenge: {type: http-01, webroot: /var/www/html}
"""

import http.client
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import parse_address
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, Unanswered
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver

PATH = "/.well-known/acme-challenge/"
SECONDS = 10.0
LONGEST = 4096


class HttpSolver(Solver):
    """Options: ``webroot`` (on the host), ``check`` (ask from the controller first), ``check_address`` (host:port)."""

    challenge_type = "http-01"

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        webroot = self.fields.text("webroot")
        self.webroot = parse_directory(webroot, f"{where}: webroot") if webroot else None
        self.check = self.fields.flag("check", True)
        address = self.fields.text("check_address")
        self.address = parse_address(address, 80, f"{where}: check_address") if address else None

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("webroot", "check", "check_address")

    @property
    def stateless(self) -> bool:
        return self.webroot is None

    def rehearse(self, domains: Sequence[str], thumbprint: str) -> None:
        if self.webroot or not self.check:
            return
        token = secrets.token_urlsafe(16)
        for domain in domains:
            self.ask(Challenge(domain, token, f"{token}.{thumbprint}"))

    def present(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        if self.webroot is None:
            return
        self.files(challenges, host, "present")
        if self.check:
            for each in challenges:
                self.ask(each)

    def cleanup(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        if self.webroot is not None:
            self.files(challenges, host, "absent")

    def files(self, challenges: Sequence[Challenge], host: HostStep | None, state: str) -> None:
        """The files below the webroot, made or removed.

        :raises TlsError: the host could not, or there is none.
        """
        if host is None:
            raise IssuerError(f"{self.where}: a webroot needs a host, and this certificate is not made for one")
        files = [{"token": each.name, "content": each.value} for each in challenges]
        host({"webroot": self.webroot, "state": state, "files": files})

    def ask(self, challenge: Challenge) -> None:
        """Ask as the CA will.

        :raises Unanswered: another answer than the CA has to get.
        """
        host, port = self.address or (challenge.domain, 80)
        shown = f"http://{bracketed(challenge.domain)}{PATH}"
        try:
            connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
            try:
                connection.request("GET", PATH + challenge.name, headers={"Host": bracketed(challenge.domain)})
                answer = connection.getresponse()
                status, body = answer.status, answer.read(LONGEST).decode(errors="replace").strip()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise self.silent(f"{shown} does not answer ({shortened(error)[:200]})") from None
        # A CA follows redirections; where they lead cannot be judged from here.
        if not 300 <= status < 400 and (status != 200 or body != challenge.value):
            raise self.silent(
                f"{shown} gives another answer than the CA has to get (HTTP {status}, {shortened(body)[:80]!r})"
            )

    def silent(self, problem: str) -> Unanswered:
        """The CA was not asked, because it would get this."""
        how = (
            f"see that the name leads to this host, and that its web server serves files from {self.webroot}"
            if self.webroot
            else "see that the name leads to a host of this fleet, whose web server has the issuer's tls_acme_thumbprints"
        )
        return Unanswered(
            f"{problem}; the CA was not asked to look",
            remedy=f"{how}; set check: false where the controller cannot reach it",
        )


def bracketed(domain: str) -> str:
    """A name or address as it stands in a URL."""
    return f"[{domain}]" if ":" in domain else domain


PROVIDER = HttpSolver
