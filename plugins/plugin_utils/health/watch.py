# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints under watch: what the user wrote, the state of each, and the events that a change of state makes. No sockets, no files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import (
    RenewBefore,
    parse_duration,
    parse_renew_before,
    parse_timeout,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_path
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.wanted import (
    Defaults,
    parse_endpoint,
    speaks_for,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import CODES, OK, severity_of, worst_code
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment, validity_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import Names
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import parse_path_or_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso

OPTIONS = ("endpoints", "interval", "threshold", "timeout", "anchors", "state_file", "remind_after")
SCHEMA = "fleet.tls/watch/1"
# What to do about the states, which are codes of the health document, and "ok".
REMEDIES: dict[str, str | None] = {
    "damaged": "run fleet.tls.deploy, or replace what the endpoint serves",
    "expired": "run fleet.tls.deploy",
    "not_yet_valid": "see whether the clocks of this machine and of the issuer are right",
    "untrusted": "see whether the endpoint serves its intermediates, and whether the anchors are its issuer's",
    "name_mismatch": "add the name to the certificate's dns_names, or correct server_name",
    "endpoint_down": "see whether the service runs and its port can be reached",
    "expiring": "run fleet.tls.deploy",
    OK: None,
}
FACTS = (
    "subject",
    "issuer",
    "common_name",
    "dns_names",
    "ip_addresses",
    "not_before",
    "not_after",
    "days_left",
    "serial",
    "fingerprint_sha256",
    "key_algorithm",
)
LONGEST_TEXT = 300
MOST_NAMES = 100
# An event becomes extra variables of a playbook, and a server may not put a template into those.
BRACES = str.maketrans("{}", "()")


@dataclass(frozen=True)
class Watched:
    """An endpoint, and the hosts of the inventory that have to be told when its state changes; none: all."""

    endpoint: Endpoint
    hosts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What it is remembered by."""
        name = self.endpoint.server_name or ""
        return f"{self.endpoint.starttls or 'tls'}://{self.endpoint.address}/{name}"


@dataclass(frozen=True)
class WatchOptions:
    """The options of the event source. ``interval`` and ``remind_after`` in seconds; ``anchors``: PEM texts and paths."""

    watched: tuple[Watched, ...]
    interval: int
    threshold: RenewBefore
    anchors: tuple[str, ...] | None
    state_file: str | None
    remind_after: int | None


@dataclass(frozen=True)
class RememberedEndpoint:
    """What is remembered of an endpoint: its state, since when, which certificate, and when an event told of it last."""

    state: str
    since: dt.datetime
    told: dt.datetime
    fingerprint: str | None = None


@dataclass(frozen=True)
class Observation:
    """What one look showed: the state, everything that is wrong, in words, and the leaf as :func:`scan.read_certificate` describes it."""

    state: str
    problems: tuple[str, ...]
    leaf: Mapping[str, Any] | None


def parse_options(raw: Any) -> WatchOptions:
    """The source's arguments.

    :raises SpecError: unknown options, no endpoint, one that stands twice, and what each of them refuses.
    """
    fields = Fields(raw, OPTIONS)
    defaults = Defaults(timeout=str(fields.get("timeout", Defaults.timeout)))
    parse_timeout(defaults.timeout)
    watched = tuple(parse_watched(entry, defaults) for entry in fields.items("endpoints"))
    if not watched:
        raise SpecError("endpoints is empty", remedy="name at least one, such as www.example.com:443")
    keys = [each.key for each in watched]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise SpecError(f"endpoints: {twice} appears twice", remedy="name each endpoint and server name once")
    anchors, state_file, remind = fields.get("anchors"), fields.get("state_file"), fields.get("remind_after")
    texts = [anchors] if isinstance(anchors, str) else fields.items("anchors")
    return WatchOptions(
        watched=watched,
        interval=parse_duration(fields.get("interval", "1h"), "interval"),
        threshold=parse_renew_before(fields.get("threshold", "14d"), "threshold"),
        anchors=tuple(parse_path_or_pem(text, "anchors") for text in texts) or None,
        state_file=None if state_file is None else parse_path(state_file, "state_file"),
        remind_after=None if remind is None else parse_duration(remind, "remind_after"),
    )


def parse_watched(raw: Any, defaults: Defaults) -> Watched:
    """An endpoint as ``fleet.tls.endpoint_info`` takes it; a mapping may have ``hosts`` besides.

    :raises SpecError: as :func:`scan.parse_endpoint`; hosts that are no names.
    """
    if not isinstance(raw, Mapping):
        return Watched(parse_endpoint(raw, defaults))
    rest = {field: value for field, value in raw.items() if field != "hosts"}
    hosts = tuple(Fields({"hosts": raw.get("hosts")}, ("hosts",), "endpoints").strings("hosts"))
    for host in hosts:
        if not host.strip() or host.startswith("-") or not host.isprintable():
            raise SpecError(f"endpoints: hosts: '{host}' is not a host or group", remedy="write names of the inventory")
    return Watched(parse_endpoint(rest, defaults), hosts)


def sight(entry: Mapping[str, Any], threshold: RenewBefore, now: dt.datetime) -> Observation:
    """What a look at an endpoint means.

    :param entry: of :func:`scan.read_answer`.
    """
    if not entry["reachable"]:
        return down(entry["error"] or "it showed no certificate")
    problems, leaf = list(entry["problems"]), entry["certificates"][0]
    if leaf["error"]:
        return Observation("damaged", tuple(problems), leaf)
    validity, wanted = validity_of(leaf), entry["server_name"] or entry["host"]
    names = Names(dns_names=tuple(leaf["dns_names"]), ip_addresses=tuple(leaf["ip_addresses"]))
    states = {
        "expired": validity.expired(now),
        "not_yet_valid": validity.not_before is not None and validity.not_before > now,
        "name_mismatch": not speaks_for(names, wanted),
    }
    # An entry that is not trusted may be so for one of these only.
    states["untrusted"] = entry["trusted"] is False and not any(states.values())
    states["expiring"] = validity.expiring(threshold, now)
    if states["expiring"] and not states["expired"]:
        problems.append(f"the certificate ends on {leaf['not_after']}, in {leaf['days_left']:g} days")
    return Observation(worst_code(state for state, holds in states.items() if holds), tuple(problems), leaf)


def down(error: str) -> Observation:
    """An endpoint that could not be looked at."""
    return Observation("endpoint_down", (error,), None)


def observe(
    watched: Watched, found: Observation, before: RememberedEndpoint | None, remind_after: int | None, now: dt.datetime
) -> tuple[RememberedEndpoint, dict[str, Any] | None]:
    """What to remember of an endpoint, and the event to emit: its state changed, it is not well and nobody knew, or it is time to
    remind of that.
    """
    state = found.state
    certificate = facts(found.leaf) if found.leaf else None
    fingerprint = certificate["fingerprint_sha256"] if certificate else None
    changed = before is None or before.state != state
    reminder = not changed and is_reminder_due(state, before, remind_after, now)
    silent = state == OK and before is None if changed else not reminder
    seen = RememberedEndpoint(
        state=state,
        since=now if before is None or changed else before.since,
        told=before.told if before and silent else now,
        fingerprint=fingerprint,
    )
    if silent:
        return seen, None
    event: dict[str, Any] = {
        "schema": SCHEMA,
        "endpoint": watched.endpoint.address,
        "server_name": watched.endpoint.server_name,
        "state": state,
        "severity": severity_of(state) if state in CODES else OK,
        "before": before.state if before else None,
        "since": iso(seen.since),
        "reminder": reminder,
        "problems": [inert(problem) for problem in found.problems],
        "remedy": REMEDIES[state],
        "certificate": certificate,
        "fingerprint_before": before.fingerprint if before else None,
        "hosts": list(watched.hosts),
    }
    if watched.hosts:
        # ansible-rulebook limits the playbook to these.
        event["meta"] = {"hosts": list(watched.hosts)}
    return seen, event


def is_reminder_due(state: str, before: RememberedEndpoint | None, after: int | None, now: dt.datetime) -> bool:
    """Whether to tell once more of an endpoint that is still not well."""
    return state != OK and before is not None and after is not None and (now - before.told).total_seconds() >= after


def facts(described: Mapping[str, Any]) -> dict[str, Any]:
    """What an event tells of a certificate; it came from a server, so texts are plain, and lists are short."""
    told = {}
    for field in FACTS:
        value = described.get(field)
        if isinstance(value, (list, tuple)):
            value = [inert(item) for item in value[:MOST_NAMES]]
        told[field] = inert(value) if isinstance(value, str) else value
    return told


def inert(value: Any) -> str:
    """Text of somebody else's on one line, cut, and without the braces of a template."""
    text = "".join(character if character.isprintable() else " " for character in str(value)[:LONGEST_TEXT])
    return text.translate(BRACES)


def remembered(raw: Any) -> dict[str, RememberedEndpoint]:
    """The content of a state file; what is not readable in it is not known.

    :param raw: the parsed JSON.
    """
    entries = raw.get("endpoints") if isinstance(raw, Mapping) and raw.get("schema") == SCHEMA else None
    known = {}
    for key, entry in entries.items() if isinstance(entries, Mapping) else ():
        try:
            if entry["state"] in REMEDIES:
                since, told = parse_moment(entry["since"]), parse_moment(entry["told"])
                known[str(key)] = RememberedEndpoint(entry["state"], since, told, entry.get("fingerprint_sha256"))
        except (KeyError, TypeError, AttributeError, SpecError):
            continue
    return known


def to_remember(known: Mapping[str, RememberedEndpoint], watched: Iterable[Watched]) -> dict[str, Any]:
    """The content of a state file, JSON-ready; endpoints that are no longer watched are left out."""
    keys = {each.key for each in watched}
    entries = {
        key: {
            "state": seen.state,
            "since": iso(seen.since),
            "told": iso(seen.told),
            "fingerprint_sha256": seen.fingerprint,
        }
        for key, seen in known.items()
        if key in keys
    }
    return {"schema": SCHEMA, "endpoints": entries}
