# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A traced handshake as people draw it: a lane for each side, an arrow for each message. Pure."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.fields import printable
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace_words import size_text, words

NARROWEST, WIDEST, DEFAULT_WIDTH = 72, 240, 100
TIME, SIZE = 13, 10
LONGEST_TEXT = 400


def diagram(shown: Mapping[str, Any], width: int = DEFAULT_WIDTH) -> list[str]:
    """The connections of a trace, one below the other.

    :param shown: an entry of a probe's ``endpoints``, or its ``trace`` alone.
    :param width: columns.
    :returns: lines without trailing blanks.
    :raises SpecError: no trace in it, or a width that is none.
    """
    trace = shown.get("trace") if "connections" not in shown else shown
    if not isinstance(trace, Mapping) or not isinstance(trace.get("connections"), Sequence):
        raise SpecError("there is no trace in it", remedy="probe with trace: true, and give an entry of its endpoints")
    if isinstance(width, bool) or not isinstance(width, int) or not NARROWEST <= width <= WIDEST:
        raise SpecError(f"'{width}' is not a width", remedy=f"give columns from {NARROWEST} to {WIDEST}")
    lines: list[str] = []
    for count, connection in enumerate(trace["connections"]):
        lines += [""] if lines else []
        lines += drawn(heading(shown, connection, count), connection, trace, width)
    return [line.rstrip() for line in lines]


def heading(shown: Mapping[str, Any], connection: Mapping[str, Any], count: int) -> str:
    """What stands above a connection."""
    where = str(connection.get("endpoint") or shown.get("endpoint") or "")
    name = shown.get("server_name")
    text = f"{where} (server name {name})" if where and name else where
    again = "again, with the session of the first connection" if count else ""
    return ": ".join(part for part in (text, again) if part)


def drawn(title: str, connection: Mapping[str, Any], trace: Mapping[str, Any], width: int) -> list[str]:
    """One connection: heading, lanes, verdict."""
    inner, summary = width - TIME - SIZE - 2, connection["summary"]
    lines = textwrap.wrap(plain(title), width)
    lines.append(f"{'time':>{TIME - 2}}  client{' ' * (inner - 10)}server{'size':>{SIZE}}")
    if connection.get("connected") is not None:
        lines.append(lane(moment(connection["connected"]), centred("TCP connection", inner), ""))
        if trace.get("starttls"):
            lines.append(lane("", centred(f"{trace['starttls']}, in clear, until TLS may begin", inner), ""))
    for message in connection["messages"]:
        lines += arrow(message, inner, bool(summary["resumed_by"]))
    if summary["outcome"] == "failed" and summary["alert"] is None:
        lines.append(lane("", centred(f"✗ {summary['code'].replace('_', ' ')}", inner, "╌"), ""))
    if not trace.get("recorded"):
        lines.append(lane("", centred("(this Python cannot show the messages)", inner), ""))
    return lines + closing(summary, width)


def arrow(message: Mapping[str, Any], inner: int, resumed: bool) -> list[str]:
    """One message: an arrow with its name, in braces where it was encrypted, and below what it says."""
    name = f"{{{message['name']}}}" if message["encrypted"] else message["name"]
    if message["details"].get("level") == "fatal":
        name = f"✗ {name}"
    label = f" {plain(name)} "
    shaft = "─" * max(1, inner - 4 - columns(label))
    line = f"───{label}{shaft}►" if message["sender"] == "client" else f"◄{shaft}{label}───"
    lines = [lane(moment(message["at"]), line, size_text(message["size"]))]
    indent = 4 if message["sender"] == "client" else inner // 4
    for text in words(message, resumed):
        for part in textwrap.wrap(plain(text), inner - indent - 2, subsequent_indent="    "):
            lines.append(lane("", " " * indent + part + " " * (inner - indent - columns(part)), ""))
    return lines


def closing(summary: Mapping[str, Any], width: int) -> list[str]:
    """The verdict, and what else there is to say."""
    took = "" if summary["seconds"] is None else f", {moment(summary['seconds'])}"
    agreed = ", ".join(str(summary[field]) for field in ("cipher", "group", "alpn") if summary[field])
    facts = f"{agreed}; " if agreed else ""
    paragraphs = [
        ("=> ", summary["verdict"]),
        ("   ", f"{facts}{size_text(summary['sent'])} sent, {size_text(summary['received'])} received{took}"),
        *(("!  ", text) for text in summary["objections"]),
        *(("-  ", text) for text in summary["notes"]),
    ]
    return [
        line
        for mark, text in paragraphs
        for line in textwrap.wrap(plain(text), width, initial_indent=mark, subsequent_indent="   ")
    ]


def lane(time: str, between: str, size: str) -> str:
    """One line of the drawing."""
    return f"{time:>{TIME - 2}}  │{between}│{size:>{SIZE}}"


def centred(text: str, inner: int, fill: str = " ") -> str:
    """Text between the lanes, of neither side."""
    space = max(0, inner - columns(text) - 2)
    return f"{fill * (space // 2)} {text} {fill * (space - space // 2)}"


def moment(seconds: float) -> str:
    """Milliseconds, to the microsecond."""
    return f"{seconds * 1000:.3f} ms"


def columns(text: str) -> int:
    """How wide text is on a terminal."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def plain(value: Any) -> str:
    """Text of some length that cannot play tricks on a terminal: servers and hosts said some of it."""
    return printable(str(value))[:LONGEST_TEXT]
