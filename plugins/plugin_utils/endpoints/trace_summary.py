# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a traced connection was: one-way or mutual, full or resumed, how many round trips, and how it ended. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.trace.decode import SHORTEST_TICKET, TLS13
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace_failures import Story, expired, failure


def summarise(
    connection: Mapping[str, Any], now: dt.datetime, objections: Sequence[str], before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The summary of one connection, JSON-ready, as documented in ``fleet.tls.endpoint_info``.

    :param connection: as :func:`trace.read_trace` has it.
    :param objections: what a client that verifies has against the server's certificates.
    :param before: the summary of the connection whose session this one was to resume.
    """
    messages = connection["messages"]
    story = Story(messages)
    resumed_by = resumption(story)
    complete = connection["ended"] == "complete"
    summary: dict[str, Any] = {
        "outcome": "complete" if complete else "failed",
        "code": "complete",
        "why": None,
        "failed_after": None,
        "ended_by": None,
        "alert": None,
        "protocol": story.detail("server", "ServerHello", "version"),
        "cipher": story.detail("server", "ServerHello", "cipher") or connection["cipher"],
        "group": story.detail("server", "ServerHello", "group") or story.detail("server", "ServerKeyExchange", "group"),
        "server_name": story.detail("client", "ClientHello", "server_name"),
        "alpn": story.detail("server", "EncryptedExtensions", "alpn") or story.detail("server", "ServerHello", "alpn"),
        "handshake": None if not story.said("server", "ServerHello") else "resumed" if resumed_by else "full",
        "resumed_by": resumed_by,
        "authentication": authentication(story, resumed_by, before) if complete else None,
        "round_trips": round_trips(messages),
        "seconds": duration(messages),
        "sent": connection["sent"],
        "received": connection["received"],
        "objections": list(objections),
        "notes": notes(story, connection, before, resumed_by, now),
    }
    if not complete:
        told = failure(connection["ended"], connection["error"] or "", messages, now)
        last = story.before_the_end()
        alerts = {side: story.alert(side) for side in ("server", "client")}
        sender = next((side for side in alerts if alerts[side] is not None), None)
        summary.update(
            code=told.code,
            why=told.why,
            ended_by=told.ended_by,
            failed_after=None
            if last is None
            else {"sender": last["sender"], "name": last["name"], "number": last["number"]},
            alert=None if sender is None else {"sender": sender, **(alerts[sender] or {})},
        )
    return {**summary, "verdict": verdict(summary)}


def resumption(story: Story) -> str | None:
    """How the handshake was shortened: by a ``ticket``, by the server's ``cache``, or (None) not at all.

    TLS 1.3 has a ticket in either case, which is no more than the number of a session where the server keeps it (RFC 8446 section 2.2).
    Before, a server that resumes echoes the session's id (RFC 5246 section 7.4.1.3), which a client with a ticket makes up
    (RFC 5077 section 3.4).
    """
    offer, answer = story.said("client", "ClientHello"), story.said("server", "ServerHello")
    if offer is None or answer is None:
        return None
    size = offer["details"].get("ticket_size", 0)
    if answer["details"].get("version") == TLS13:
        if not answer["details"].get("psk"):
            return None
        return "ticket" if size >= SHORTEST_TICKET else "cache"
    echoed = offer["details"].get("session_id") and offer["details"]["session_id"] == answer["details"].get(
        "session_id"
    )
    if not echoed:
        return None
    return "ticket" if size else "cache"


def authentication(story: Story, resumed_by: str | None, before: Mapping[str, Any] | None) -> str | None:
    """``one-way``: the server has shown who it is; ``mutual``: the client too. A resumed session has what it began with."""
    if resumed_by:
        return before["authentication"] if before else None
    if not story.certificates("server"):
        return None
    return "mutual" if story.certificates("client") else "one-way"


def round_trips(messages: Sequence[Mapping[str, Any]]) -> int:
    """How often the client had to wait for the server before the handshake was done; that of TCP before it is not counted."""
    count, waiting = 0, False
    ends = [each["number"] for each in messages if each["name"] == "Finished"]
    for message in messages:
        if len(ends) > 1 and message["number"] > ends[1]:
            break
        if message["sender"] == "client":
            waiting = True
        elif waiting:
            count, waiting = count + 1, False
    return count


def duration(messages: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds from the ClientHello to the second Finished, or to the last message before."""
    if not messages:
        return None
    ends = [each["at"] for each in messages if each["name"] == "Finished"]
    return round((ends[1] if len(ends) > 1 else messages[-1]["at"]) - messages[0]["at"], 6)


def notes(
    story: Story,
    connection: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    resumed_by: str | None,
    now: dt.datetime,
) -> list[str]:
    """What is worth knowing beside the outcome."""
    found = []
    shown = story.certificates("client")
    if connection["ended"] == "complete" and shown is not None:
        found.append(
            f"the server took the client certificate '{shown[0].get('subject') or '?'}' in the handshake; some judge it only afterwards (nginx:"
            " HTTP 400)"
            if shown
            else "the server asked for a client certificate and went on without; it may refuse afterwards (nginx: HTTP 400)"
        )
        over = expired(shown[0], now) if shown else None
        found += [f"expired client certificate: {over}"] if over else []
    if before is not None and not resumed_by and story.said("server", "ServerHello"):
        found.append("a session was offered for resumption, and the server did not take it")
    group = story.detail("server", "HelloRetryRequest", "group")
    if group:
        found.append(f"one round trip more: the client had guessed another group than {group}")
    for message in story.messages:
        if (
            message["name"] == "Alert"
            and message["details"].get("level") == "warning"
            and message["sender"] == "server"
        ):
            said = message["details"].get("description")
            found += [f"the server warned: {said}"] if said != "close_notify" else []
        if message["details"].get("malformed"):
            found.append(f"the {message['sender']}'s {message['name']} is not well-formed")
    if connection["dropped"]:
        found.append(f"{connection['dropped']} more messages were not kept")
    return found


def verdict(summary: Mapping[str, Any]) -> str:
    """The summary in a sentence."""
    if summary["outcome"] == "failed":
        last = summary["failed_after"]
        where = f"failed after the {last['sender']}'s {last['name']}" if last else "failed before the first message"
        return f"{where}: {summary['why']}"
    kind = "full handshake"
    if summary["resumed_by"]:
        kind = f"resumed by {summary['resumed_by']}"
    trips = f"{summary['round_trips']} round trip{'' if summary['round_trips'] == 1 else 's'}"
    parts = [summary["protocol"], kind, summary["authentication"], trips]
    text = f"complete: {', '.join(part for part in parts if part)}"
    if summary["objections"]:
        text += (
            f"; a client that verifies would have hung up after the server's Certificate: {summary['objections'][0]}"
        )
    return text
