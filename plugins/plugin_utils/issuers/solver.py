# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of a solver: how a domain's owner proves to an ACME CA that it is theirs (RFC 8555, section 8).

A solver makes a challenge's answer visible where the CA looks, sees to it that it is visible there, and takes it away again.
"""

from __future__ import annotations

import base64
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import load_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

HostStep = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Challenge:
    """One name's challenge.

    :param domain: the name, a wildcard's without its ``*.``, or an IP address.
    :param name: where the answer is looked for: the TXT record's name for dns-01 and dns-persist-01, the token for http-01.
    :param value: the answer: the text of the TXT record for dns-01, the content for http-01. It is no secret.
    """

    domain: str
    name: str
    value: str


class Solver(ABC):
    """One way to answer.

    :param options: what the user wrote about it, less ``type``.
    :param where: whose options these are, for messages.
    :raises SpecError: (constructor) an option that is unknown or does not fit.
    """

    #: Which challenges it answers, in the CA's words: ``http-01``, ``dns-01`` or ``dns-persist-01``.
    challenge_type = "dns-01"

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        self.where = where
        self.fields = Fields(options, self.option_names(), where)

    @classmethod
    @abstractmethod
    def option_names(cls) -> tuple[str, ...]:
        """The options it takes besides ``type``."""

    @property
    def stateless(self) -> bool:
        """Whether the fleet's servers answer by themselves, from the account key's thumbprint alone."""
        return False

    def keep_in(self, store: Store, issuer: str) -> None:
        """Told once by the issuer: where it may remember something, below ``acme/<issuer>/``."""
        return None

    def place(self, domain: str) -> str:
        """Where a domain's answer is put. Orders with a place in common go one after the other."""
        return domain.lower()

    def challenge(
        self, authorization: Mapping[str, Any], raw: Mapping[str, Any], thumbprint: str, account: str
    ) -> Challenge | None:
        """The answer to a challenge of this solver's type; None where the CA's words make no sense.

        :param authorization: as the CA has it (RFC 8555, 7.1.4); :param raw: the challenge in it.
        :param thumbprint: of the account's key (RFC 7638); :param account: the account's URL.
        """
        domain, token = str(authorization["identifier"].get("value")), raw.get("token")
        if not isinstance(token, str):
            return None
        answer = f"{token}.{thumbprint}"
        if self.challenge_type == "dns-01":
            digest = base64.urlsafe_b64encode(hashlib.sha256(answer.encode()).digest()).rstrip(b"=").decode()
            return Challenge(domain, f"_acme-challenge.{domain}", digest)
        return Challenge(domain, token, answer)

    def rehearse(self, domains: Sequence[str], thumbprint: str) -> None:
        """Find out, before the CA is asked for anything, whether answers can be given for these names.

        :raises TlsError: they cannot; what to do about it.
        """
        return None

    @abstractmethod
    def present(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        """Make the answers visible, and return when they are.

        :param host: runs step ``challenge`` of docs/host-protocol.md on the host that the certificate is for.
        :raises TlsError: they are not, or not in time.
        """

    @abstractmethod
    def cleanup(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        """Take them away; also those that were never visible.

        :raises TlsError: they could not be taken away. The certificate is there all the same.
        """


def load_solver(raw: Any, where: str) -> Solver:
    """``challenge`` of an issuer as a solver.

    :raises SpecError: not a mapping, no type, or what the solver itself refuses.
    """
    if not isinstance(raw, Mapping) or not raw.get("type"):
        raise SpecError(
            f"{where}: challenge is missing or has no type",
            remedy="write challenge: {type: http-01}, or a solver of docs/issuers/acme.md such as dns_rfc2136",
        )
    rest = {key: value for key, value in raw.items() if key != "type"}
    return load_provider("solver", str(raw["type"]).replace("-", "_"))(rest, f"{where}: challenge")
