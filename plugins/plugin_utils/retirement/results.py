# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of step ``retire``, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN, printable
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import host_error

KINDS = ("certificates", "clients", "bundles", "pools", "configured")


@dataclass(frozen=True)
class RetiredItem:
    """One thing of which anything was there."""

    kind: str
    name: str
    removed: tuple[str, ...]
    given_back: Mapping[str, str]
    error: HostError | None = None

    def as_result(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "kind": self.kind,
            "name": self.name,
            "removed": list(self.removed),
            "given_back": dict(self.given_back),
            "error": None if self.error is None else self.error.as_dict(),
        }


@dataclass(frozen=True)
class RetireAnswer:
    """A host's answer.

    :param there: by kinds, what of ours it had.
    """

    changed: bool = False
    there: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(KINDS, ()))
    items: tuple[RetiredItem, ...] = ()
    services: Mapping[str, Any] = field(default_factory=dict)
    diff: tuple[Any, ...] = ()

    def failed(self, kind: str) -> frozenset[str]:
        """The names of those of a kind that stay."""
        return frozenset(each.name for each in self.items if each.kind == kind and each.error)

    def error(self) -> HostError | None:
        """What went wrong, with whatever it went wrong with; None: nothing."""
        errors = {f"{each.kind} '{each.name}'": each.error for each in self.items if each.error}
        if not errors:
            return None
        # One service that refuses is the same for all that it was to take.
        told: dict[str, list[str]] = {}
        for what, error in errors.items():
            told.setdefault(error.message, []).append(what)
        first = next(iter(errors.values()))
        message = "; ".join(f"{', '.join(whats)}: {message}" for message, whats in told.items())
        return HostError(message, code=first.code, remedy=first.remedy)


def parse_answer(answer: Mapping[str, Any]) -> RetireAnswer:
    """:raises HostError: it does not have the agreed form."""
    try:
        there = {kind: tuple(printable(str(each)) for each in answer["there"][kind]) for kind in KINDS}
        return RetireAnswer(
            bool(answer["changed"]),
            there,
            tuple(parse_item(each) for each in answer["retired"]),
            dict(answer["services"]),
            tuple(answer["diff"]),
        )
    except MISSHAPEN as error:
        raise HostError(f"the host's answer does not have the agreed form ({type(error).__name__})") from error


def parse_item(raw: Any) -> RetiredItem:
    """One of ``retired``; errors as ``MISSHAPEN`` names them."""
    return RetiredItem(
        printable(str(raw["kind"])),
        printable(str(raw["name"])),
        tuple(printable(str(each)) for each in raw["removed"]),
        {printable(str(path)): printable(str(kept)) for path, kept in raw["given_back"].items()},
        host_error(raw["error"]) if raw["error"] else None,
    )
