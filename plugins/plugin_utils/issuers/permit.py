# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``permit`` of an issuer: which hosts may have which certificates of it. Pure; docs/issuers/permit.md has it for people.

One rule has to permit all of a certificate. What a rule does not mention it leaves open, but for what a certificate says of its holder:
a rule that lists any names permits those alone, and no parts of a subject but those that it lists.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text, parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import KEY_ALGORITHMS
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import (
    NAME_FIELDS,
    parse_dns_name,
    parse_email_address,
    parse_uri,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import PARTS, parse_subject
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import TLS_USAGES, parse_usage
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec

RULE_FIELDS = ("groups", *NAME_FIELDS, "common_names", "subject", "usages", "max_duration", "key_algorithms")


@dataclass(frozen=True)
class Rule:
    """One rule. An empty tuple or mapping is what the rule does not mention.

    :param names: field (``dns_names``) → patterns; None: the rule lists no names, and permits all of them.
    :param subject: part of a subject (``O``) → its values.
    :param max_duration: seconds.
    """

    groups: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] | None = None
    common_names: tuple[str, ...] = ()
    subject: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    usages: tuple[str, ...] = TLS_USAGES
    max_duration: int | None = None
    key_algorithms: tuple[str, ...] = ()

    def is_for(self, groups: Collection[str]) -> bool:
        """Whether it is for a host of these groups."""
        return not self.groups or "all" in self.groups or not set(self.groups).isdisjoint(groups)

    def objection(self, wish: CertificateSpec, lifetime: int | None) -> str | None:
        """What of a certificate it does not permit, in words; None: it permits all of it.

        :param lifetime: of what the issuer makes by itself, in seconds; None: only its CA knows.
        """
        return (
            self.objection_to_names(wish)
            or self.objection_to_subject(wish)
            or unlisted("usages", wish.usages, self.usages)
            or unlisted("private_key.algorithm", [wish.private_key.algorithm], self.key_algorithms)
            or self.objection_to_duration(wish.duration or lifetime)
        )

    def objection_to_names(self, wish: CertificateSpec) -> str | None:
        """The same of who it speaks for."""
        if self.names is None:
            return None
        for kind in NAME_FIELDS:
            patterns = self.names.get(kind, ())
            for name in getattr(wish.names, kind):
                if not any(MATCHERS[kind](name, pattern) for pattern in patterns):
                    return f"{kind}: {name} is not among {listed(patterns)}"
        # Programs that let clients in look at it, too.
        common_name = wish.names.common_name
        if common_name is None or common_name in (*self.common_names, *(value for _kind, value in wish.names.sans())):
            return None
        return f"common_name: {common_name} is none of its names, nor among {listed(self.common_names)}"

    def objection_to_subject(self, wish: CertificateSpec) -> str | None:
        """The same of the parts of its subject."""
        if self.names is None and not self.subject:
            return None
        for part, value in wish.names.subject:
            if value not in self.subject.get(part, ()):
                return f"subject: {part}={value} is not among {listed(self.subject.get(part, ()))}"
        return None

    def objection_to_duration(self, duration: int | None) -> str | None:
        """The same of how long it lives."""
        if self.max_duration is None or (duration is not None and duration <= self.max_duration):
            return None
        if duration is None:
            return f"only the CA knows how long it would live, and max_duration is {duration_text(self.max_duration)}"
        return f"duration: {duration_text(duration)} is more than {duration_text(self.max_duration)}"

    def as_dict(self) -> dict[str, Any]:
        """What it permits, JSON-ready, as people write it; without what it leaves open."""
        names = self.names or {}
        found: dict[str, Any] = {kind: list(names[kind]) for kind in NAME_FIELDS if names.get(kind)}
        found["common_names"] = list(self.common_names)
        found["subject"] = {part: list(values) for part, values in self.subject.items()}
        found["usages"] = list(self.usages)
        found["max_duration"] = None if self.max_duration is None else duration_text(self.max_duration)
        found["key_algorithms"] = list(self.key_algorithms)
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class Permit:
    """All rules of an issuer."""

    issuer: str
    rules: tuple[Rule, ...]

    def of_groups(self, groups: Collection[str]) -> tuple[Rule, ...]:
        """The rules for a host of these groups."""
        return tuple(rule for rule in self.rules if rule.is_for(groups))

    def refuse(self, wish: CertificateSpec, lifetime: int | None, groups: Collection[str]) -> None:
        """:raises NotPermitted: no rule permits the certificate to a host of these groups."""
        objections = []
        for number, rule in enumerate(self.rules, 1):
            if rule.is_for(groups):
                objection = rule.objection(wish, lifetime)
                if objection is None:
                    return
                objections.append(f"rule {number}: {objection}")
        why = "; ".join(objections) or f"no rule is for a host of the groups {listed(sorted(groups))}"
        raise NotPermitted(
            f"issuer '{self.issuer}' does not permit it ({why})",
            remedy=f"ask for what a rule of tls_issuers.{self.issuer}.permit permits, or have a rule added there; nothing was changed",
        )


class NotPermitted(SpecError):
    """No rule of an issuer permits what a host asks for."""

    code = "not_permitted"


def permitted(issuers: Any, groups: Collection[str]) -> dict[str, list[dict[str, Any]] | None]:
    """What a host of these groups could get, by issuer: what the rules for it say; None: everything.

    :param issuers: ``tls_issuers``. One whose rules cannot be understood is left out: whoever asks it for something is told.
    """
    found: dict[str, list[dict[str, Any]] | None] = {}
    for name, options in issuers.items() if isinstance(issuers, Mapping) else ():
        with contextlib.suppress(SpecError):
            permit = parse_permit(str(name), options.get("permit") if isinstance(options, Mapping) else None)
            found[str(name)] = None if permit is None else [rule.as_dict() for rule in permit.of_groups(groups)]
    return found


def parse_permit(issuer: str, raw: Any) -> Permit | None:
    """``permit`` of an issuer; None: it permits everything to everybody.

    :raises SpecError: it is not a list of rules, or one of them cannot be understood.
    """
    if raw is None:
        return None
    where = f"issuer '{issuer}': permit"
    if not isinstance(raw, (list, tuple)):
        raise SpecError(f"{where} must be a list of rules", remedy="write permit: [{groups: [web], dns_names: [...]}]")
    return Permit(issuer, tuple(parse_rule(each, f"{where}: rule {number}") for number, each in enumerate(raw, 1)))


def parse_rule(raw: Any, where: str) -> Rule:
    """One rule; errors as :func:`parse_permit`."""
    fields = Fields(raw, RULE_FIELDS, where)
    if not fields.raw:
        raise SpecError(f"{where} says nothing", remedy="leave permit out to permit everything")
    listed_names = any(fields.get(kind) is not None for kind in (*NAME_FIELDS, "common_names"))
    names = {
        kind: tuple(checked(PATTERNS[kind], each, f"{where}: {kind}") for each in fields.strings(kind))
        for kind in NAME_FIELDS
    }
    duration = fields.get("max_duration")
    usages = tuple(checked(parse_usage, each, f"{where}: usages") for each in fields.strings("usages"))
    return Rule(
        groups=tuple(fields.strings("groups")),
        names=names if listed_names else None,
        common_names=tuple(fields.strings("common_names")),
        subject=parse_parts(fields.get("subject", {}), f"{where}: subject"),
        usages=usages or TLS_USAGES,
        max_duration=None if duration is None else parse_duration(duration, f"{where}: max_duration"),
        key_algorithms=tuple(
            one_of(each, KEY_ALGORITHMS, f"{where}: key_algorithms") for each in fields.strings("key_algorithms")
        ),
    )


def parse_parts(raw: Any, where: str) -> dict[str, tuple[str, ...]]:
    """``subject`` of a rule; errors as :func:`parse_permit`."""
    fields = Fields(raw, PARTS, where)
    return {
        part: tuple(value for _part, value in parse_subject({part: fields.get(part)}, where)) for part in fields.raw
    }


def checked(parse: Callable[[str], str], text: str, where: str) -> str:
    """A pattern in its usual form.

    :raises SpecError: it is none; the message says where.
    """
    try:
        return parse(text)
    except SpecError as error:
        raise SpecError(f"{where}: '{text[:80]}' is not understood: {error.message}", remedy=error.remedy) from None


def dns_pattern(text: str) -> str:
    """``web.example.com``; ``*.example.com``: one label more, or that wildcard; ``.example.com``: everything below."""
    return f".{parse_dns_name(text[1:])}" if text.startswith(".") else parse_dns_name(text)


def is_dns_name(name: str, pattern: str) -> bool:
    """Whether a DNS name fits a pattern."""
    if pattern.startswith("."):
        return name.endswith(pattern)
    return name == pattern or (pattern.startswith("*.") and name.partition(".")[2] == pattern[2:])


def network(text: str) -> str:
    """An address or a network."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise SpecError(str(error), remedy="write an address or a network, such as 192.0.2.0/24") from None


def is_address(name: str, pattern: str) -> bool:
    """Whether an address is in a network."""
    return ipaddress.ip_address(name) in ipaddress.ip_network(pattern)


def uri_pattern(text: str) -> str:
    """A URI; with ``*`` at its end, everything that begins so."""
    return parse_uri(text[:-1]) + "*" if text.endswith("*") else parse_uri(text)


def is_uri(name: str, pattern: str) -> bool:
    """Whether a URI fits a pattern."""
    return name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))


def mailbox_pattern(text: str) -> str:
    """A mailbox; ``@example.com``: all on that host."""
    return parse_email_address(f"any{text}")[len("any") :] if text.startswith("@") else parse_email_address(text)


def is_mailbox(name: str, pattern: str) -> bool:
    """Whether a mailbox fits a pattern."""
    box, _at, host = name.rpartition("@")
    wanted, _at, place = pattern.rpartition("@")
    return host.lower() == place.lower() and wanted in ("", box)


PATTERNS: dict[str, Callable[[str], str]] = {
    "dns_names": dns_pattern,
    "ip_addresses": network,
    "uris": uri_pattern,
    "email_addresses": mailbox_pattern,
}
MATCHERS: dict[str, Callable[[str, str], bool]] = {
    "dns_names": is_dns_name,
    "ip_addresses": is_address,
    "uris": is_uri,
    "email_addresses": is_mailbox,
}


def unlisted(what: str, values: Iterable[str], known: Collection[str]) -> str | None:
    """That a value is not listed; None: all are, or nothing is."""
    others = [each for each in values if known and each not in known]
    return f"{what}: {others[0]} is not among {listed(known)}" if others else None


def listed(values: Iterable[str]) -> str:
    """A list in words."""
    return ", ".join(values) or "none"
