# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For whom a CA may issue (RFC 5280, section 4.2.1.10). Pure; needs ``cryptography``."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import canonical_name, facts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import subject_text

# So many comparisons of a name with a constraint are made for one chain, as OpenSSL has it; who asks for more is refused.
MOST_COMPARISONS = 1 << 20
# A common name that a client without alternative names could take for a host's.
HOST_NAME = re.compile(r"(?=.*\.)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_-]+")


class TooMuchWork(Exception):
    """More comparisons than any real chain needs."""


@dataclass
class Budget:
    """What may still be compared."""

    left: int = MOST_COMPARISONS

    def spend(self, count: int) -> None:
        """:raises TooMuchWork: it is used up."""
        self.left -= count
        if self.left < 0:
            raise TooMuchWork


def forbidden_names(
    authority: x509.Certificate, below: Sequence[x509.Certificate], budget: Budget | None = None
) -> list[str]:
    """The names in the certificates below a CA, the leaf first, that its constraints do not allow.

    Self-issued certificates between the CA and the leaf are exempt (RFC 5280, section 6.1.3 (b)).

    :returns: the names as text, each once.
    :raises TooMuchWork: the budget does not suffice.
    """
    constraints = facts_of(authority).constraints
    if constraints is None:
        return []
    limits = Limits(constraints)
    found: dict[str, None] = {}
    for place, certificate in enumerate(below):
        if place and facts_of(certificate).self_issued:
            continue
        names = list(names_in(certificate, leaf=place == 0))
        (budget or Budget()).spend(len(names) * limits.count)
        found.update((text_of(value), None) for kind, value in names if not limits.allow(kind, value))
    return list(found)


def names_in(certificate: x509.Certificate, *, leaf: bool) -> Iterator[tuple[type[Any], Any]]:
    """The names that constraints apply to: kind and value."""
    yield from names_among(certificate.subject, facts_of(certificate).alternative_names or (), leaf=leaf)


def names_among(
    subject: x509.Name, alternative: Iterable[x509.GeneralName], *, leaf: bool
) -> Iterator[tuple[type[Any], Any]]:
    """The same of a certificate that has this subject and these alternative names."""
    has_dns = False
    for name in alternative:
        has_dns = has_dns or isinstance(name, x509.DNSName)
        yield type(name), name if isinstance(name, x509.OtherName) else name.value
    if list(subject):
        yield x509.DirectoryName, subject
    for attribute in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        yield x509.RFC822Name, attribute.value
    if leaf and not has_dns:
        # There are clients that take it for a host's name then, so OpenSSL holds it against the constraints.
        for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME):
            if HOST_NAME.fullmatch(str(attribute.value)):
                yield x509.DNSName, attribute.value


@dataclass
class Limits:
    """A CA's constraints by kind of name."""

    constraints: x509.NameConstraints
    permitted: dict[type[Any], list[Any]] = field(default_factory=dict)
    excluded: dict[type[Any], list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for trees, into in (
            (self.constraints.permitted_subtrees, self.permitted),
            (self.constraints.excluded_subtrees, self.excluded),
        ):
            for tree in trees or ():
                into.setdefault(type(tree), []).append(getattr(tree, "value", tree))

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, (*self.permitted.values(), *self.excluded.values())))

    def allow(self, kind: type[Any], name: Any) -> bool:
        """Whether a name is in one of the permitted subtrees of its kind, if there are any, and in none of the excluded."""
        permitted, excluded = self.permitted.get(kind, ()), self.excluded.get(kind, ())
        if not permitted and not excluded:
            return True
        judge = WITHIN.get(kind)
        if judge is None:  # a kind of name whose constraints nobody can judge
            return False
        if any(judge(name, tree, True) for tree in excluded):
            return False
        return not permitted or any(judge(name, tree, False) for tree in permitted)


def address_within(name: Any, tree: Any, _excluding: bool) -> bool:
    """Whether an address is in a network."""
    return name.version == tree.version and name in tree


def dns_within(name: str, tree: str, excluding: bool) -> bool:
    """Whether a DNS name is in a domain: itself or below it; with a dot in front, below it only.

    A wildcard is excluded where any name that it stands for is, and permitted where all are.
    """
    host, tree = name.lower().rstrip("."), tree.lower()
    if not tree:
        return True
    if host.startswith("*."):
        parent = host[2:]
        if excluding and tree.lstrip(".").partition(".")[2] == parent:
            return True
        return parent == tree.lstrip(".") or in_domain(parent, tree)
    return host == tree or in_domain(host, tree)


def in_domain(host: str, tree: str) -> bool:
    """Whether a host is below a domain."""
    return host.endswith(tree if tree.startswith(".") else f".{tree}")


def host_within(host: str, tree: str) -> bool:
    """The rule for mail and URIs: a name stands for that host alone, one with a dot in front for all hosts below it."""
    return host == tree or (tree.startswith(".") and host.endswith(tree))


def mailbox_within(name: str, tree: str, _excluding: bool) -> bool:
    """Whether a mailbox is the one that is named, or on the host or in the domain."""
    mailbox, _at, host = str(name).rpartition("@")
    wanted, at, domain = tree.rpartition("@")
    if at:
        return (mailbox, host.lower()) == (wanted, domain.lower())
    return not tree or host_within(host.lower(), tree.lower())


def uri_within(name: str, tree: str, excluding: bool) -> bool:
    """Whether a URI's host is the one that is named, or in the domain. A URI without a host's name is never allowed."""
    try:
        host = urllib.parse.urlsplit(name).hostname or ""
    except ValueError:
        host = ""
    if not re.search(r"[A-Za-z]", host.rpartition(".")[2]) or ":" in host:  # none, or an address
        return excluding
    return not tree or host_within(host, tree.lower())


def directory_within(name: x509.Name, tree: x509.Name, _excluding: bool) -> bool:
    """Whether a directory name begins with another."""
    wanted = canonical_name(tree)
    return canonical_name(name)[: len(wanted)] == wanted


WITHIN: dict[type[Any], Callable[[Any, Any, bool], bool]] = {
    x509.IPAddress: address_within,
    x509.DNSName: dns_within,
    x509.RFC822Name: mailbox_within,
    x509.UniformResourceIdentifier: uri_within,
    x509.DirectoryName: directory_within,
}


def text_of(name: Any) -> str:
    """A name for people."""
    if isinstance(name, x509.Name):
        return name.rfc4514_string()
    return f"a name of the kind {name.type_id.dotted_string}" if isinstance(name, x509.OtherName) else str(name)


def describe_forbidden(authority: x509.Certificate, name: str) -> str:
    """That a CA may not issue for a name."""
    return f"'{subject_text(authority)}' may not issue for {name} (its name constraints)"
