# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an endpoint accepts, read from an answer and judged by profiles. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.fields import number_or_none, text_or_none
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.judged_profiles import PROFILES, Profile

PROTOCOLS = ("TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3")
PARTS = ("suites", "groups", "signature_schemes")
# A name of a registry, or a number where we know none.
NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
# A finite field of TLS 1.2, by its bits; a host may say anything.
FINITE_FIELD = re.compile(r"dh-[0-9]{1,6}", re.ASCII)
MOST_NAMES = 500


def read_accepts(raw: Any) -> dict[str, Any] | None:
    """``accepts`` of a result; its shape is not taken on trust. None: it was not asked for."""
    if not isinstance(raw, Mapping):
        return None
    protocols = raw.get("protocols")
    known = protocols if isinstance(protocols, Mapping) else {}
    return {
        "protocols": {
            name: {part: names_in(known[name], part) for part in PARTS} for name in PROTOCOLS if name in known
        },
        "handshakes": number_or_none(raw.get("handshakes")),
        "error": text_or_none(raw.get("error")),
    }


def names_in(raw: Any, part: str) -> list[str]:
    """The names in a list; what could be none is left out."""
    values = raw.get(part) if isinstance(raw, Mapping) else None
    found = [str(each) for each in values[:MOST_NAMES]] if isinstance(values, list) else []
    return [each for each in found if NAME.fullmatch(each)]


def parse_profiles(names: Iterable[Any]) -> tuple[str, ...]:
    """Names of profiles, each once.

    :raises SpecError: there is none of a name.
    """
    found = tuple(dict.fromkeys(map(str, names)))
    unknown = [name for name in found if name not in PROFILES]
    if unknown:
        raise SpecError(f"profiles: '{unknown[0]}' is unknown", remedy=f"write some of {', '.join(PROFILES)}")
    return found


def judge_accepts(accepts: Mapping[str, Any], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What each profile says: whether the endpoint conforms, by which document, and what it may not accept.

    An endpoint of which not all is known does not conform for certain: ``conforms`` is None then, unless something was found.
    """
    judged = {}
    for name in names:
        profile = PROFILES[name]
        violations = violations_of(profile, accepts["protocols"])
        unknown = accepts["error"] is not None or not accepts["protocols"]
        judged[name] = {
            "document": profile.document,
            "source": profile.source,
            "conforms": None if unknown and not violations else not violations,
            "violations": violations,
        }
    return judged


def violations_of(profile: Profile, protocols: Mapping[str, Mapping[str, Sequence[str]]]) -> list[dict[str, Any]]:
    """What is accepted and not allowed, and what has to be accepted and is not."""
    rules = dict(profile.rules)
    found = []

    def add(what: str, value: str, protocol: str, problem: str) -> None:
        found.append({"what": what, "value": value, "protocol": protocol, "problem": problem, "rule": rules.get(what)})

    for protocol in profile.required if protocols else ():
        if protocol not in protocols:
            add("protocols", protocol, protocol, "required")
    for protocol, accepted in protocols.items():
        if profile.protocols is not None and protocol not in profile.protocols:
            add("protocols", protocol, protocol, "not_allowed")
            # What such a version has besides goes with it.
            continue
        for suite in accepted["suites"]:
            if not is_allowed(suite, profile.suites) or any(word in suite for word in profile.refused_words):
                add("suites", suite, protocol, "not_allowed")
        for group in accepted["groups"]:
            if not is_allowed_group(group, profile.groups):
                add("groups", group, protocol, "not_allowed")
        for scheme in accepted["signature_schemes"]:
            if not is_allowed(scheme, profile.schemes):
                add("signature_schemes", scheme, protocol, "not_allowed")
    return found


def is_allowed(name: str, allowed: Sequence[str] | None) -> bool:
    """Whether a profile has it, or says nothing of such things."""
    return allowed is None or name in allowed


def is_allowed_group(name: str, allowed: Sequence[str] | None) -> bool:
    """The same of a group; a finite field of TLS 1.2 by its bits."""
    if is_allowed(name, allowed) or not FINITE_FIELD.fullmatch(name):
        return is_allowed(name, allowed)
    return any(FINITE_FIELD.fullmatch(each) and int(name[3:]) >= int(each[3:]) for each in allowed or ())
