# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pairs of a host can be taken over, and under which entry of ``tls_certificates``; or why not. Pure.

Everything here is from a host, which may say anything, and becomes YAML that Ansible reads. So each text has to have the form of what it is,
and nothing may hold a template.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.adoption.lineages import (
    File,
    Lineage,
    fingerprints,
    form_of,
    leaf_of,
    refuse_disorder,
    without_older,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.adoption.places import renewer_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import NAME_FIELDS
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import TLS_USAGES
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import KEY_ALGORITHMS, parse_certificate

MOST_PAIRS = 200
PATH = re.compile(r"/[A-Za-z0-9._@+,:=~/ -]{1,500}")
ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}")
TEMPLATE = re.compile(r"\{[{%#]")
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")
LONGEST_NAME = 64
OTHERS = 0o027


@dataclass(frozen=True)
class Candidate:
    """A pair that can be taken over.

    :param entry: of ``tls_certificates``, plain values only.
    :param key: the digest of its public key, by which another host's copy is known.
    :param notes: what a reviewer should know.
    """

    entry: Mapping[str, Any]
    key: str
    not_after: str
    issuer: str
    notes: tuple[str, ...] = ()


@dataclass
class Found:
    """What a host has. ``refused``: path → why its certificate cannot be taken over."""

    candidates: list[Candidate] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Judge:
    """Judges the pairs of one host.

    :param named: service → paths, as the host said.
    :param taken: the names of certificates that the inventory has already.
    :param issuer: who is to renew them.
    :param presets: the user's own, as :func:`~.services.parse_presets` returns them.
    """

    def __init__(
        self,
        files: Iterable[File],
        named: Mapping[str, Collection[str]],
        issuer: str,
        taken: Iterable[str] = (),
        presets: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.files = list(files)
        self.services_of: dict[str, list[str]] = {}
        for service, paths in named.items():
            for path in paths:
                self.services_of.setdefault(str(path), []).append(service)
        # A host may have thousands of files, and each pair asks for its own.
        self.keys: dict[Any, list[File]] = {}
        self.chains: dict[tuple[str, ...], list[File]] = {}
        for each in self.files:
            if len(each["private_keys"]) == 1 and not each["private_keys"][0]["encrypted"]:
                self.keys.setdefault(each["private_keys"][0]["public_key_sha256"], []).append(each)
            elif not each["private_keys"]:
                self.chains.setdefault(tuple(fingerprints(each)), []).append(each)
        self.issuer = issuer
        self.taken = set(taken)
        self.presets = presets or {}

    def __call__(self) -> Found:
        """Judge all of them."""
        found = Found()
        for lineage in without_older(self.lineages(), self.is_named):
            path = str(lineage.source["path"])
            if len(found.candidates) >= MOST_PAIRS:
                found.refused[path] = f"{MOST_PAIRS} pairs were found before it: take these over first"
                continue
            try:
                found.candidates.append(self.candidate(lineage))
            except SpecError as error:
                found.refused[path] = f"{error.message} ({error.remedy})" if error.remedy else error.message
        return found

    def names_of(self, file: File) -> list[str]:
        """The paths of a file that a configuration names, else none."""
        return [path for path in dict.fromkeys((file["path"], *file["links"])) if path in self.services_of]

    def is_named(self, lineage: Lineage) -> bool:
        """Whether a service uses it."""
        return any(self.names_of(each) for each in (*lineage.certificates, *lineage.keys))

    def lineages(self) -> list[Lineage]:
        """Each leaf that nobody manages, with its files; CAs that no service shows are none."""
        managed = {leaf_of(each).get("fingerprint_sha256") for each in self.files if each["managed"]}
        leaves: dict[str, list[File]] = {}
        for each in self.files:
            leaf = leaf_of(each)
            identifier = leaf.get("fingerprint_sha256")
            ca = leaf.get("ca") and not (self.names_of(each) and each["pairs"])
            if identifier and identifier not in managed and not ca and not leaf.get("error"):
                leaves.setdefault(str(identifier), []).append(each)
        return [
            Lineage(leaf, holders, self.keys.get(leaf["public_key_sha256"], []))
            for holders in leaves.values()
            for leaf in [leaf_of(holders[0])]
        ]

    def candidate(self, lineage: Lineage) -> Candidate:
        """One pair.

        :raises SpecError: it cannot be taken over, and why.
        """
        leaf, source = lineage.leaf, lineage.source
        if leaf["days_left"] <= 0:
            raise SpecError(f"it expired on {leaf['not_after']}", remedy="have a new one issued")
        if source["format"] != "pem":
            raise SpecError(
                f"it is {source['format']}, not PEM", remedy="have a new one issued, with an output of that format"
            )
        if source["error"]:
            raise SpecError(f"its file could be read in part only: {source['error']}", remedy="put that right")
        key = self.key_of(lineage)
        refuse_disorder(source["certificates"])
        notes: list[str] = []
        outputs = self.outputs(lineage, notes)
        services = sorted({each for output in outputs for each in self.services_of[output["path"]]})
        entry: dict[str, Any] = {
            "name": self.name_for(leaf),
            "issuer": self.issuer,
            **{kind: list(leaf[kind]) for kind in NAME_FIELDS if leaf.get(kind)},
        }
        usages = [each for each in leaf["usages"] if each in TLS_USAGES]
        if usages and usages != ["server_auth"]:
            entry["usages"] = usages
        if leaf["key_algorithm"] in KEY_ALGORITHMS:
            entry["private_key"] = {"algorithm": leaf["key_algorithm"]}
        else:
            notes.append(f"its key is {leaf['key_algorithm']}; the next one is what private_key says")
        entry["adopt"] = {"certificate": source["path"], "private_key": key["path"]}
        entry.update({name: value for name, value in (("outputs", outputs), ("services", services)) if value})
        # A hook may have copied it to where its service wants it.
        renewer = renewer_of(*(path for each in lineage.certificates for path in (each["path"], *each["links"])))
        if renewer:
            notes.append(f"{renewer} renews it still: see the guide on when to stop that")
        if not outputs:
            notes.append(
                "no configuration that was read names its files: see who uses them, and add outputs and services"
            )
        self.refuse_unsound(entry)
        self.taken.add(entry["name"])
        notes = [each for each in notes if each.isascii() and each.isprintable()]
        return Candidate(entry, str(leaf["public_key_sha256"]), str(leaf["not_after"]), self.issuer, tuple(notes))

    def key_of(self, lineage: Lineage) -> File:
        """The file with its key; one that a service names, or in the same directory, before others.

        :raises SpecError: there is none that can be used.
        """
        if not lineage.keys:
            raise SpecError(
                "no private key on this host fits it, or it is encrypted",
                remedy="put the key beside it, without a passphrase and with mode 0600",
            )
        usable = [each for each in lineage.keys if each["format"] == "pem"]
        if not usable:
            raise SpecError("its private key is not PEM", remedy="turn it into PEM with openssl pkey")
        folder = str(lineage.source["path"]).rpartition("/")[0]
        return min(usable, key=lambda each: (not self.names_of(each), not str(each["path"]).startswith(folder + "/")))

    def outputs(self, lineage: Lineage, notes: list[str]) -> list[dict[str, Any]]:
        """The paths that services read it from go on having it.

        :raises SpecError: one of them has what no output can have.
        """
        chain = [each["fingerprint_sha256"] for each in lineage.source["certificates"]]
        above = self.chains.get(tuple(chain[1:]), []) if chain[1:] else []
        found: dict[str, dict[str, Any]] = {}
        for file in {each["path"]: each for each in (*lineage.certificates, *lineage.keys, *above)}.values():
            for path in self.names_of(file):
                form = form_of(file, chain, apart=any(self.names_of(each) for each in above))
                found[path] = self.output(path, file, form, notes)
        return list(found.values())

    def output(self, path: str, file: File, form: str, notes: list[str]) -> dict[str, Any]:
        """One of them, with the owner and the mode that it has."""
        output: dict[str, Any] = {"path": path, "format": form}
        for what in ("owner", "group"):
            if file[what] and file[what] != "root":
                output[what] = file[what]
        mode = int(str(file["mode"]), 8) & 0o777
        if form in ("privkey", "combined") and mode & OTHERS:
            notes.append(f"{path} has mode {mode:04o} with a private key in it: it gets 0600, so see who else reads it")
            mode = 0o600
        output["mode"] = f"{mode:04o}"
        return output

    def name_for(self, leaf: Mapping[str, Any]) -> str:
        """A name that the inventory does not have yet, after the first of the certificate's own."""
        names = [str(each) for kind in NAME_FIELDS for each in leaf.get(kind) or ()] or [str(leaf["common_name"] or "")]
        plain = NOT_IN_A_NAME.sub("-", names[0].replace("*", "wildcard", 1)).strip("-.")[: LONGEST_NAME - 8] or "pair"
        number, name = 1, plain
        while name in self.taken:
            number += 1
            name = f"{plain}-{number}"
        return name

    def refuse_unsound(self, entry: Mapping[str, Any]) -> None:
        """:raises SpecError: the entry would be refused, or says something else to Ansible than it says to people."""
        paths = [*entry["adopt"].values(), *(each["path"] for each in entry.get("outputs", ()))]
        accounts = [each[what] for each in entry.get("outputs", ()) for what in ("owner", "group") if what in each]
        if not all(PATH.fullmatch(str(each)) for each in paths) or not all(
            ACCOUNT.fullmatch(str(each)) for each in accounts
        ):
            raise SpecError(
                "a path or owner of it has characters that a reviewer could misread",
                remedy="rename the file, or write the entry by hand",
            )
        if any(TEMPLATE.search(each) for each in texts(entry)):
            raise SpecError("something in it is a template to Ansible", remedy="write the entry by hand")
        parse_certificate(entry, {self.issuer: None}, self.presets)
        if not any(entry.get(kind) for kind in NAME_FIELDS):
            raise SpecError(
                "it has no names that clients look at (subject alternative names)", remedy="have a new one issued"
            )


def texts(value: Any) -> Iterable[str]:
    """All texts in a plain value."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts(each)
    else:
        yield str(value)
