# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of itself, taken as far as it has the agreed form: it chooses among what roles know, and nothing else. Pure."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN, shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_NAME

FAMILIES = ("debian", "redhat", "suse", "other")
MOST_RESOLVERS, MOST_CERTIFICATES, HIGHEST_NUMBER = 8, 1000, 10000


@dataclass(frozen=True)
class HostFacts:
    """A host, as roles have to know it.

    :param family: one of ``FAMILIES``.
    :param openssl: version of its libssl, ``(3, 0, 2)``.
    :param python: ``(3, 11)``.
    :param resolvers: addresses of its name servers.
    :param trusts_ours: whether its system trusts an anchor that we put there.
    :param nginx_sites: whether its nginx reads ``sites-enabled``.
    :param ocsp: certificates whose live leaf names an OCSP responder.
    """

    family: str
    openssl: tuple[int, ...]
    python: tuple[int, ...]
    systemd: bool
    resolvers: tuple[str, ...] = ()
    trusts_ours: bool = False
    ocsp: tuple[str, ...] = ()
    nginx_sites: bool = False

    def as_facts(self) -> dict[str, Any]:
        """For ``ansible_facts``."""
        plain = {
            key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(self).items()
        }
        return {"fleet_tls_host": plain}


def parse_host_facts(raw: Any) -> HostFacts:
    """``host`` of an answer, see docs/host-protocol.md.

    :raises HostError: it does not have the agreed form.
    """
    try:
        return HostFacts(
            family=str(raw["family"]) if raw["family"] in FAMILIES else "other",
            openssl=parse_version(raw["openssl"]),
            python=parse_version(raw["python"]),
            systemd=bool(raw["systemd"]),
            resolvers=tuple(addresses(raw.get("resolvers") or ()))[:MOST_RESOLVERS],
            trusts_ours=bool(raw.get("trusts_ours")),
            ocsp=tuple(names(raw)),
            nginx_sites=raw.get("nginx_sites") is True,
        )
    except MISSHAPEN as error:
        raise HostError(
            f"what the host says of itself does not have the agreed form ({type(error).__name__}: {shortened(error)[:80]})",
            remedy="see whether something on the host changes what Python there says, and run again",
        ) from error


def parse_version(raw: Any) -> tuple[int, ...]:
    """:raises ValueError: it is no version."""
    numbers = tuple(raw)
    if not 0 < len(numbers) < 5 or not all(is_number(each) for each in numbers):
        raise ValueError("version")
    return numbers


def is_number(value: Any) -> bool:
    """Whether it can be a part of a version; Python takes True for a number too."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < HIGHEST_NUMBER


def addresses(raw: Any) -> Iterator[str]:
    """The IP addresses among what a host calls its resolvers; one with a zone is of no use to a server."""
    for each in raw:
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(str(each))
            # Behind the % there may be anything.
            if "%" not in str(address):
                yield str(address)


def names(raw: Mapping[str, Any]) -> list[str]:
    """The names of certificates under ``ocsp``; what could not be one is passed over."""
    found = [str(each) for each in raw.get("ocsp") or ()]
    return [each for each in found if CERTIFICATE_NAME.fullmatch(each)][:MOST_CERTIFICATES]
