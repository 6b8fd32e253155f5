# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of public suites of certificate chains, in x509-limbo's schema or NIST's PKITS. Data only; where they lie is up to the user."""

from __future__ import annotations

import datetime as dt
import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from ansible_collections.fleet.tls.tests.unit.support.pkits import MOMENT, path_cases


@dataclass(frozen=True)
class ChainCase:
    """One chain and what its suite says of it. Certificates as PEM.

    :param suite: for the table; :param category: the part of the suite.
    :param featured: whether limbo says that it asks for something special, which not every client does.
    :param usage: ``server_auth``, ``client_auth``, or None for nothing in particular.
    :param kind, name: the name that a client wants to reach; None: none.
    """

    suite: str
    category: str
    identifier: str
    leaf: str
    others: tuple[str, ...]
    anchors: tuple[str, ...]
    moment: dt.datetime
    expected: bool
    featured: bool = False
    usage: str | None = "server_auth"
    kind: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Suite:
    """The cases of a file; ``empty``: how many have no certificates in them."""

    cases: tuple[ChainCase, ...]
    empty: int = 0


def read_suite(path: Path) -> Suite:
    """A file in limbo's schema: one JSON object, or one case a line; plain or ``.xz``.

    :raises ValueError: it is neither.
    """
    opened: TextIO = lzma.open(path, "rt") if path.suffix == ".xz" else path.open(encoding="utf-8")
    with opened as stream:
        raw = list(map(json.loads, stream)) if ".jsonl" in path.name else json.load(stream)["testcases"]
    whole = [each for each in raw if each.get("peer_certificate")]
    return Suite(tuple(map(limbo_case, whole)), len(raw) - len(whole))


def limbo_case(raw: Mapping[str, Any]) -> ChainCase:
    """One case of limbo's schema."""
    parts, peer = str(raw["id"]).split("::"), raw.get("expected_peer_name") or {}
    moment = raw.get("validation_time")
    return ChainCase(
        suite="BetterTLS" if parts[0] == "bettertls" else "x509-limbo",
        category="::".join(parts[: 2 if len(parts) > 2 else 1]),
        identifier=str(raw["id"]),
        leaf=raw["peer_certificate"],
        others=tuple(raw.get("untrusted_intermediates") or ()),
        anchors=tuple(raw["trusted_certs"]),
        moment=dt.datetime.fromisoformat(moment) if moment else dt.datetime.now(dt.timezone.utc),
        expected=raw["expected_result"] == "SUCCESS",
        featured=bool(raw.get("features")),
        usage="client_auth" if raw["validation_kind"] == "CLIENT" else "server_auth",
        kind=peer.get("kind"),
        name=peer.get("value"),
    )


def pkits() -> Iterator[ChainCase]:
    """NIST's cases about paths; one whose leaf ``cryptography`` cannot read is refused by all that are built on it."""
    for case in path_cases():
        leaf, *others = map(to_pem, case.chain) if case.chain else ("",)
        yield ChainCase(
            "PKITS", "paths", case.name, leaf, tuple(others), (to_pem(case.anchor),), MOMENT, case.expected, usage=None
        )
