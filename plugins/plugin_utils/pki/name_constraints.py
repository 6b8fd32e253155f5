# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For whom a CA may issue (RFC 5280 section 4.2.1.10). Pure; needs ``cryptography``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import subject_text


def forbidden_names(chain: Sequence[x509.Certificate]) -> list[str]:
    """The names in a chain (leaf first) that a CA above them may not issue for, in words."""
    problems = []
    for place, authority in enumerate(chain[1:], 1):
        try:
            limits = authority.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            continue
        for certificate in chain[:place]:
            problems += [
                f"'{subject_text(authority)}' may not issue for {name} (its name constraints)"
                for kind, name in names_in(certificate)
                if not allowed(kind, name, limits)
            ]
    return problems


def names_in(certificate: x509.Certificate) -> Iterator[tuple[type[Any], Any]]:
    """The names of the kinds that are judged here: kind and value. Others are left to those who use them."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for kind in (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier):
        for value in names.get_values_for_type(kind):
            yield kind, value


def allowed(kind: type[Any], name: Any, limits: x509.NameConstraints) -> bool:
    """Whether a name is in one of the permitted subtrees of its kind, if there are any, and in none of the excluded."""
    permitted = [each.value for each in limits.permitted_subtrees or () if isinstance(each, kind)]
    excluded = [each.value for each in limits.excluded_subtrees or () if isinstance(each, kind)]
    if any(within(kind, name, tree) for tree in excluded):
        return False
    return not permitted or any(within(kind, name, tree) for tree in permitted)


def within(kind: type[Any], name: Any, tree: Any) -> bool:
    """Whether a name is in a subtree of its kind."""
    if kind is x509.IPAddress:
        return name.version == tree.version and name in tree
    tree = tree.lower()
    if kind is x509.RFC822Name:
        mailbox, _at, host = str(name).lower().rpartition("@")
        return f"{mailbox}@{host}" == tree if "@" in tree else in_domain(host, tree, itself=not tree.startswith("."))
    if kind is x509.UniformResourceIdentifier:
        host = str(name).lower().partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
        return in_domain(host, tree, itself=not tree.startswith("."))
    host = str(name).lower().removeprefix("*.")
    return not tree.strip(".") or host == tree.lstrip(".") or host.endswith("." + tree.lstrip("."))


def in_domain(host: str, tree: str, *, itself: bool) -> bool:
    """The rule for mail and URIs: a name stands for that host alone, one with a dot in front for all hosts below it."""
    return host == tree if itself else host.endswith(tree)
