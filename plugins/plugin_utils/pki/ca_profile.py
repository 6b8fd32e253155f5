# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a CA's own certificates say beside its name: subject, name constraints, path length, and where its CRL and certificate are."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import (
    NAME_FIELDS,
    parse_dns_name,
    parse_email_address,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import Parts

# More than one CA below the other is rare, and more than this a slip of the pen.
LONGEST_PATH = 9
FOLDER = re.compile(r"http://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/(?:[A-Za-z0-9._~-]+/)*")


@dataclass(frozen=True)
class CaProfile:
    """Of the CAs that are made or asked for.

    :param subject: of all of them, before their common names.
    :param constraints: of root and issuing CA; None: they may issue for every name.
    :param path_length: how many CAs there may be below the root.
    """

    subject: Parts = ()
    constraints: x509.NameConstraints | None = None
    path_length: int = 1


@dataclass(frozen=True)
class Pointers:
    """Where clients find what is known of a CA, for what that CA issues (RFC 5280, 4.2.1.13 and 4.2.2.1).

    :param crls, certificates: folders, plain http.
    """

    crls: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()

    def extensions(self, name: str) -> Iterable[x509.ExtensionType]:
        """Of what is issued by the CA that is published under ``name``."""
        if self.crls:
            names = [x509.UniformResourceIdentifier(f"{each}{name}.crl") for each in self.crls]
            yield x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)])
        if self.certificates:
            method = x509.AuthorityInformationAccessOID.CA_ISSUERS
            places = [x509.UniformResourceIdentifier(f"{each}{name}.crt") for each in self.certificates]
            yield x509.AuthorityInformationAccess([x509.AccessDescription(method, each) for each in places])


def parse_path_length(raw: Any, where: str) -> int:
    """How many CAs there may be below the root, the issuing CA among them.

    :raises SpecError: no such number.
    """
    text = str(raw)
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_PATH:
        raise SpecError(
            f"{where}: '{text[:80]}' is not a number from 1 to {LONGEST_PATH}",
            remedy="1 leaves room for the issuing CA alone",
        )
    return int(text)


def parse_folders(values: Sequence[str], where: str) -> tuple[str, ...]:
    """Addresses of folders, to which the names of files are added.

    :raises SpecError: not plain http, whose certificate nobody could check, or no folder.
    """
    for each in values:
        if not FOLDER.fullmatch(each):
            raise SpecError(
                f"{where}: '{each[:120]}' is not a folder on a server for plain http",
                remedy="write http://pki.example.com/ca/, with a slash at its end: each CA's own file is added to it",
            )
    return tuple(values)


def parse_name_constraints(raw: Any, where: str) -> x509.NameConstraints | None:
    """``name_constraints`` (RFC 5280, 4.2.1.10); None: there are none.

    :raises SpecError: they cannot be understood, or say nothing.
    """
    if raw is None:
        return None
    fields = Fields(raw, ("permitted", "excluded"), where)
    permitted, excluded = (parse_trees(fields.get(each, {}), f"{where}: {each}") for each in ("permitted", "excluded"))
    if not permitted and not excluded:
        raise SpecError(f"{where} says nothing", remedy="write permitted: {dns_names: [example.com]}, or leave it out")
    return x509.NameConstraints(permitted or None, excluded or None)


def parse_trees(raw: Any, where: str) -> list[x509.GeneralName]:
    """One of the two lists; errors as :func:`parse_name_constraints`."""
    fields = Fields(raw, NAME_FIELDS, where)
    found: list[x509.GeneralName] = []
    for kind in NAME_FIELDS:
        for text in sorted(set(fields.strings(kind))):
            try:
                found.append(TREES[kind](text))
            except (SpecError, ValueError) as error:
                told = error.message if isinstance(error, SpecError) else str(error)
                raise SpecError(
                    f"{where}: {kind}: '{text[:80]}' is not understood: {told}", remedy=f"write {WRITTEN_SO[kind]}"
                ) from None
    return found


def domain(text: str) -> x509.GeneralName:
    """A domain: itself, and everything below it."""
    if "*" in text or text.startswith("."):
        raise SpecError("a domain stands for itself and for all below it")
    return x509.DNSName(parse_dns_name(text))


def hosts(text: str) -> str:
    """A host alone, or, with a dot in front, all hosts below a domain."""
    if "*" in text:
        raise SpecError("there are no wildcards here")
    return f".{parse_dns_name(text[1:])}" if text.startswith(".") else parse_dns_name(text)


TREES: dict[str, Callable[[str], x509.GeneralName]] = {
    "dns_names": domain,
    "ip_addresses": lambda text: x509.IPAddress(ipaddress.ip_network(text)),
    "uris": lambda text: x509.UniformResourceIdentifier(hosts(text)),
    "email_addresses": lambda text: x509.RFC822Name(parse_email_address(text) if "@" in text else hosts(text)),
}
WRITTEN_SO = {
    "dns_names": "example.com, without a dot or a wildcard in front",
    "ip_addresses": "a network, such as 192.0.2.0/24, or one address",
    "uris": "a host, example.com, or all hosts below one, .example.com",
    "email_addresses": "a mailbox, a host, example.com, or all hosts below one, .example.com",
}


def same_constraints(one: x509.NameConstraints | None, other: x509.NameConstraints | None) -> bool:
    """Whether two extensions say the same, in whatever order."""
    if one is None or other is None:
        return one is other
    return all(
        set(getattr(one, part) or ()) == set(getattr(other, part) or ())
        for part in ("permitted_subtrees", "excluded_subtrees")
    )
