# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may still be ordered from a CA that limits orders: its limits as data, what was ordered, and who comes first. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text, parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import is_ip_address

ORDER, CERTIFICATE, FAILURE = "order", "certificate", "failure"
LIMIT = re.compile(r"([0-9]{1,9})\s*/\s*(.+)")


@dataclass(frozen=True)
class Limit:
    """At most ``count`` events of a kind in ``period`` seconds for each key (see :func:`keys`)."""

    name: str
    kind: str
    count: int
    period: int
    what: str

    def __str__(self) -> str:
        return f"{self.count} {self.what} in {duration_text(self.period)}"


KNOWN = {
    "orders": (ORDER, "orders of one account"),
    "certificates_per_domain": (CERTIFICATE, "certificates of one registered domain"),
    "certificates_per_set": (CERTIFICATE, "certificates for the very same names"),
    "failures": (FAILURE, "failed validations of one name"),
}
# https://letsencrypt.org/docs/rate-limits/ (2026-11). What replaces a certificate by ARI counts for none of them.
LETS_ENCRYPT = {
    "orders": "300/3h",
    "certificates_per_domain": "50/7d",
    "certificates_per_set": "5/7d",
    "failures": "5/1h",
}
LETS_ENCRYPT_HOST = "api.letsencrypt.org"


@dataclass(frozen=True)
class Event:
    """Something that counts; ``at`` in seconds since the epoch."""

    kind: str
    at: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """A certificate that somebody wants. ``not_after``: when the present one ends, seconds since the epoch; 0: there is none."""

    names: tuple[str, ...]
    not_after: int = 0


@dataclass(frozen=True)
class Refusal:
    """Which limit is reached, for what, and from when on (seconds since the epoch) there is room again."""

    limit: Limit
    key: str
    until: int


def parse_limits(raw: Any, host: str, where: str) -> tuple[Limit, ...]:
    """``limits`` of an issuer: a mapping of names to ``COUNT/DURATION``, or one of the words letsencrypt and none.

    :param host: of the CA: without ``limits`` it says which ones hold.
    :raises SpecError: an unknown name, or what is no limit.
    """
    if raw is None:
        raw = "letsencrypt" if host == LETS_ENCRYPT_HOST else "none"
    if not isinstance(raw, Mapping):
        words: dict[str, Mapping[str, str]] = {"letsencrypt": LETS_ENCRYPT, "none": {}}
        if str(raw) not in words:
            raise SpecError(
                f"{where}: limits: '{raw}' is unknown", remedy="write letsencrypt, none, or limits: {orders: 300/3h}"
            )
        raw = words[str(raw)]
    fields = Fields(raw, KNOWN, f"{where}: limits")
    return tuple(parse_limit(name, fields.text(name), where) for name in KNOWN if fields.get(name) is not None)


def parse_limit(name: str, text: str | None, where: str) -> Limit:
    """``50/7d``; errors as :func:`parse_limits`."""
    match = LIMIT.fullmatch(str(text).strip())
    if not match or int(match[1]) == 0:
        raise SpecError(
            f"{where}: limits: {name}: '{text}' is not a limit", remedy="write a number and a duration: 50/7d"
        )
    kind, what = KNOWN[name]
    return Limit(name, kind, int(match[1]), parse_duration(match[2], f"{where}: limits: {name}"), what)


def keys(limit: Limit, names: Sequence[str], domain_of: Callable[[str], str]) -> set[str]:
    """For what a limit counts certificates with these names, each on its own."""
    if limit.name == "orders":
        return {""}
    if limit.name == "certificates_per_domain":
        return {domain_of(name) for name in names}
    if limit.name == "certificates_per_set":
        return {", ".join(sorted(names))}
    return set(names)


def refusal(
    wanted: Wanted,
    events: Iterable[Event],
    due: Sequence[Wanted],
    limits: Iterable[Limit],
    now: int,
    domain_of: Callable[[str], str],
) -> Refusal | None:
    """Whether ``wanted`` has to wait: where the room that is left is needed by others that end sooner.

    :param due: what else is known to be due. A certificate that does not exist yet waits for nobody: it takes what is left.
    :param domain_of: a name's registered domain.
    """
    events = list(events)
    found: Refusal | None = None
    for limit in limits:
        for key in sorted(keys(limit, wanted.names, domain_of)):
            times = sorted(
                event.at
                for event in events
                if event.kind == limit.kind
                and event.at > now - limit.period
                and key in keys(limit, event.names, domain_of)
            )
            ahead = (
                0
                if limit.kind == FAILURE
                else sum(key in keys(limit, each.names, domain_of) for each in due if sooner(each, wanted))
            )
            room = limit.count - len(times)
            if room > ahead:
                continue
            # So many of those that count have to be past the period before this one's turn comes.
            needed = min(ahead - room, len(times) - 1)
            until = times[needed] + limit.period if times else now + limit.period
            if found is None or until > found.until:
                found = Refusal(limit, key, until)
    return found


def sooner(one: Wanted, other: Wanted) -> bool:
    """Whether one certificate ends before another; names decide between those that end at once."""
    return bool(one.not_after and other.not_after) and (one.not_after, one.names) < (other.not_after, other.names)


def last_two_labels(name: str) -> str:
    """What a registered domain is where no list of public suffixes is at hand; of an address, it or its /64."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return ".".join(name.removeprefix("*.").split(".")[-2:])
    return str(address if address.version == 4 else ipaddress.ip_network(f"{name}/64", strict=False))


def registered_domain() -> tuple[Callable[[str], str], bool]:
    """How to find a name's registered domain, and whether that is by the list of public suffixes (``publicsuffixlist``)."""
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError:
        return last_two_labels, False
    suffixes = PublicSuffixList()

    def by_list(name: str) -> str:
        found = None if is_ip_address(name) else suffixes.privatesuffix(name.removeprefix("*."))
        return str(found or last_two_labels(name))

    return by_list, True
