# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a host that belong to one certificate, and the outputs that would have what they have. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import NAME_FIELDS

# As ``fleet.tls.certificate_files_info`` returns it.
File = Mapping[str, Any]


@dataclass(frozen=True)
class Lineage:
    """The files that have one leaf, and those that have its key."""

    leaf: Mapping[str, Any]
    certificates: Sequence[File]
    keys: Sequence[File]

    @property
    def source(self) -> File:
        """The file with the most of its chain; of equal ones, the first."""
        pem = [each for each in self.certificates if each["format"] == "pem"] or list(self.certificates)
        return max(pem, key=lambda each: len(each["certificates"]))

    @property
    def names(self) -> tuple[str, ...]:
        """Its names, for comparing."""
        return tuple(str(each) for kind in NAME_FIELDS for each in self.leaf.get(kind) or ())


def leaf_of(file: File) -> Mapping[str, Any]:
    """The first certificate of a file; empty: it has none."""
    return next(iter(file["certificates"]), {})


def fingerprints(file: File) -> list[str]:
    """Of all its certificates, in their order."""
    return [str(each.get("fingerprint_sha256")) for each in file["certificates"]]


def refuse_disorder(chain: Sequence[Mapping[str, Any]]) -> None:
    """:raises SpecError: a certificate is not followed by the one that issued it."""
    for number, (lower, upper) in enumerate(zip(chain, chain[1:]), 1):
        if not lower.get("issuer") or lower.get("issuer") != upper.get("subject"):
            raise SpecError(
                f"its file is out of order: certificate {number} was not issued by the one after it",
                remedy="put the leaf first, then what issued it",
            )


def form_of(file: File, chain: Sequence[str], *, apart: bool) -> str:
    """The format of the output that has what a file has.

    :param chain: the fingerprints of the certificates as they will be installed.
    :param apart: whether the services read what is above the leaf from another file.
    :raises SpecError: there is none.
    """
    has, path = fingerprints(file), file["path"]
    if file["format"] == "pem" and file["private_keys"]:
        if has in ([], list(chain)):
            return "combined" if has else "privkey"
    elif file["format"] == "pem":
        if has == list(chain[:1]) and (apart or len(chain) > 1):
            return "cert"
        if has == list(chain):
            return "fullchain"
        if has == list(chain[1:]):
            return "chain"
    elif file["format"] == "der" and has == list(chain[:1]) and not file["private_keys"]:
        return "der"
    raise SpecError(
        f"{path} has other certificates, or has them in another form ({file['format']}), than an output made of the pair would",
        remedy="let the service read the chain in the order of fullchain, or write the entry by hand",
    )


def without_older(lineages: Sequence[Lineage], is_named: Callable[[Lineage], bool]) -> list[Lineage]:
    """Without what lies around from before a renewal: unused, for the same names with the same kind of key, and ending earlier."""
    newest: dict[tuple[Any, ...], str] = {}
    for each in lineages:
        kind = (each.names, each.leaf["key_algorithm"])
        newest[kind] = max(newest.get(kind, ""), str(each.leaf["not_after"]))
    return [
        each
        for each in lineages
        if is_named(each) or str(each.leaf["not_after"]) == newest[(each.names, each.leaf["key_algorithm"])]
    ]
