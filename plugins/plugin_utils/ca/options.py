# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of issuer ``ca``, parsed; docs/issuers/ca.md has them for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text, parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.given import GivenCa, Sign, parse_given
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.chosen import ChosenKeys, parse_keys
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import KEY_ALGORITHMS
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.ca_profile import (
    CaProfile,
    Pointers,
    parse_folders,
    parse_name_constraints,
    parse_path_length,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import ALGORITHMS as POST_QUANTUM
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import refuse_old_cryptography
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import parse_subject
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

OPTION_NAMES = (
    "duration", "root_duration", "issuing_duration", "key_algorithm", "common_name", "subject", "crl_duration", "root", "issuing",
    "name_constraints", "path_length", "crl_distribution_points", "authority_information_access", "cross_certificates",
    "keys",
)  # fmt: skip
# What is left of a common name (64 bytes, RFC 5280 appendix A) beside " Issuing 2026-11".
LONGEST_NAME = 48


@dataclass(frozen=True)
class CaOptions:
    """All of them; durations in seconds.

    :param duration: of leaves.
    :param given: the CA, or the root, that the user brings; None: all of it is made here.
    :param crosses: whether an old root signs the new one at a rollover.
    :param keys: where the keys are that are not in the store.
    """

    duration: int
    issuing_duration: int
    root_duration: int
    crl_duration: int
    key_algorithm: str
    common_name: str
    given: GivenCa | None
    profile: CaProfile
    pointers: Pointers
    crosses: bool
    keys: ChosenKeys


def parse_options(name: str, fields: Fields, openbao: Callable[[Any, str], Sign], store: Store) -> CaOptions:
    """The options of the issuer ``name``.

    :param store: where key providers may remember something.
    :param openbao: makes what signs out of ``root.openbao``.
    :raises SpecError: one does not fit.
    :raises DependencyError: a key algorithm for which the controller's cryptography is too old.
    """
    where = f"issuer '{name}'"
    usual = {"duration": "90d", "issuing_duration": "2y", "root_duration": "10y", "crl_duration": "7d"}
    durations = {each: parse_duration(fields.get(each, text), f"{where}: {each}") for each, text in usual.items()}
    refuse_order(durations, where)
    crosses = fields.flag("cross_certificates")
    # Between an old root and the issuing CA there is the new root then.
    room = parse_path_length(fields.get("path_length", 2 if crosses else 1), f"{where}: path_length")
    if crosses and room < 2:
        raise SpecError(
            f"{where}: path_length: 1 leaves no room for a new root below the old one",
            remedy="write 2, or leave it out",
        )
    key_algorithm = parse_key_algorithm(fields, where)
    keys = parse_keys(fields, where, store, key_algorithm)
    return CaOptions(
        **durations,
        key_algorithm=key_algorithm,
        common_name=parse_common_name(name, fields, where),
        given=parse_given(fields, where, openbao, keys),
        keys=keys,
        profile=CaProfile(
            subject=parse_subject(fields.get("subject", {}), f"{where}: subject"),
            constraints=parse_name_constraints(fields.get("name_constraints"), f"{where}: name_constraints"),
            path_length=room,
        ),
        pointers=Pointers(
            crls=parse_folders(fields.strings("crl_distribution_points"), f"{where}: crl_distribution_points"),
            certificates=parse_folders(
                fields.strings("authority_information_access"), f"{where}: authority_information_access"
            ),
        ),
        crosses=crosses,
    )


def parse_key_algorithm(fields: Fields, where: str) -> str:
    """:raises SpecError: it is none of ours; :raises DependencyError: cryptography is too old for it."""
    algorithm = one_of(fields.get("key_algorithm", "ecdsa-p256"), KEY_ALGORITHMS, f"{where}: key_algorithm")
    if algorithm in POST_QUANTUM:
        refuse_old_cryptography(f"{where}: key_algorithm: {algorithm}")
    return algorithm


def refuse_order(durations: dict[str, int], where: str) -> None:
    """:raises SpecError: what is below lives longer than what is above it."""
    if not durations["duration"] < durations["issuing_duration"] < durations["root_duration"]:
        leaf, issuing, root = (
            duration_text(durations[each]) for each in ("duration", "issuing_duration", "root_duration")
        )
        raise SpecError(
            f"{where}: the validity of a leaf ({leaf}) must be shorter than that of the issuing CA ({issuing}), and that shorter than the root's ({root})",
            remedy="set duration < issuing_duration < root_duration",
        )


def parse_common_name(name: str, fields: Fields, where: str) -> str:
    """:raises SpecError: how the names of the CAs are to begin is no such thing."""
    text = str(fields.get("common_name", f"{name} CA"))
    if not text.strip() or not text.isprintable() or len(text.encode()) > LONGEST_NAME:
        raise SpecError(
            f"{where}: common_name is empty, longer than {LONGEST_NAME} bytes or not printable",
            remedy=f"set issuers.{name}.common_name to something shorter",
        )
    return text
