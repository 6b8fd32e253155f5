# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces of handshakes as a step gives them, checked, with the certificates read and a summary. No Ansible, no sockets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.fields import text_or_none
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace_failures import self_issued
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace_summary import summarise
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.wanted import LONGEST_CHAIN, read_certificate
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import subject_text

# A trace is for people to look at; a scan of thousands is the probe's without it.
MOST_CONNECTIONS = 400
MOST_MESSAGES = 200
MOST_ENTRIES = 256
# The details of messages by their types; a client offers several protocols (ALPN), a server takes one.
FLAGS = ("psk", "early_data", "cookie", "status_request", "server_name_known", "extended_master_secret", "ticket_follows", "ocsp_stapled",
         "malformed")  # fmt: skip
NUMBERS = ("ticket_size", "lifetime", "count", "uncompressed_size")
TEXTS = ("session_id", "server_name", "cipher", "version", "group", "signature_scheme", "ticket_key_name", "compression", "level",
         "description", "alpn")  # fmt: skip
LISTS = ("versions", "ciphers", "groups", "key_shares", "signature_schemes", "authorities", "alpn")


def check_count(request: Mapping[str, Any]) -> None:
    """Refuse more than anybody would look at.

    :param request: of the step ``trace``.
    :raises SpecError: too many connections.
    """
    count = len(request["endpoints"]) * (1 + int(request["resumption"]) + len(request["resume_at"]))
    if count > MOST_CONNECTIONS:
        raise SpecError(
            f"trace: {count} connections are too many to be traced in one task",
            remedy=f"trace up to {MOST_CONNECTIONS}, those for resumption among them, and probe other endpoints without",
        )


def read_trace(
    endpoint: Endpoint,
    said: Mapping[str, Any],
    entry: Mapping[str, Any],
    anchors: Sequence[x509.Certificate] | None,
    now: dt.datetime,
) -> dict[str, Any]:
    """A trace as documented in ``fleet.tls.endpoint_info``.

    :param said: the endpoint's result of the step ``trace``. It may come from a host, so its shape is not taken on trust.
    :param entry: what :class:`scan.Judge` made of the same result.
    :raises HostError: it does not have the agreed shape.
    """
    raw = said.get("trace")
    connections = raw.get("connections") if isinstance(raw, Mapping) else None
    if (
        not isinstance(raw, Mapping)
        or not isinstance(connections, list)
        or not 1 <= len(connections) <= MOST_CONNECTIONS
    ):
        raise wrong(entry)
    told: list[dict[str, Any]] = []
    for each in connections:
        connection = read_connection(each, entry, now)
        before = told[0]["summary"] if told else None
        objections = objections_to(entry, anchors) if not told else ()
        shape = {key: connection[key] for key in ("endpoint", "connected", "messages")}
        told.append({**shape, "summary": summarise(connection, now, objections, before)})
    return {"starttls": endpoint.starttls, "recorded": bool(raw.get("recorded")), "connections": told}


def read_connection(raw: Any, entry: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """One connection, checked."""
    if (
        not isinstance(raw, Mapping)
        or not isinstance(raw.get("messages"), list)
        or len(raw["messages"]) > MOST_MESSAGES
    ):
        raise wrong(entry)
    return {
        "endpoint": text_or_none(raw.get("endpoint")),
        "ended": text_or_none(raw.get("ended")) or "broken",
        "error": text_or_none(raw.get("error")),
        "cipher": text_or_none(raw.get("cipher")),
        "connected": number(raw.get("connected"), entry) if raw.get("connected") is not None else None,
        "sent": int(number(raw.get("sent"), entry)),
        "received": int(number(raw.get("received"), entry)),
        "dropped": int(number(raw.get("dropped"), entry)),
        "messages": [read_message(count, each, entry, now) for count, each in enumerate(raw["messages"], 1)],
    }


def read_message(count: int, raw: Any, entry: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """One message, checked, with its certificates read."""
    chain = raw.get("certificates") if isinstance(raw, Mapping) else None
    if (
        not isinstance(chain, list)
        or len(chain) > LONGEST_CHAIN
        or not all(isinstance(pem, str) for pem in chain)
        or raw.get("sender") not in ("client", "server")
        or not isinstance(raw.get("details"), Mapping)
    ):
        raise wrong(entry)
    return {
        "number": count,
        "sender": str(raw["sender"]),
        "at": number(raw.get("at"), entry),
        "protocol": text_or_none(raw.get("protocol")),
        "content": text_or_none(raw.get("content")),
        "name": text_or_none(raw.get("name")) or "?",
        "size": int(number(raw.get("size"), entry)),
        "encrypted": bool(raw.get("encrypted")),
        "details": read_details(raw["details"], entry),
        "certificates": [read_certificate(pem, now)[0] for pem in chain],
    }


def objections_to(entry: Mapping[str, Any], anchors: Sequence[x509.Certificate] | None) -> list[str]:
    """What a client that verifies has against the server's certificates, the commonest two in plain words first."""
    found, chain = list(entry["problems"]), entry["certificates"]
    if anchors is None or entry["trusted"] is not False or any("issuer" not in each for each in chain):
        return found
    if not chain or (len(chain) == 1 and self_issued(chain[0])):
        return found
    issuer = chain[-1]["issuer"]
    if {issuer, chain[-1]["subject"]} & {subject_text(anchor) for anchor in anchors}:
        return found
    if len(chain) == 1:
        why = (
            f"missing intermediate, or unknown CA: the server sent its own certificate alone, without that of '{issuer}' which issued"
            " it, and that one is not among the anchors"
        )
    else:
        why = f"unknown CA: the server's chain ends at '{issuer}', which is not among the anchors"
    return [why, *found]


def read_details(raw: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a message says, each field of its own type; texts printable, and cut where nobody would go on reading."""
    found: dict[str, Any] = {}
    for field, value in raw.items():
        texts = isinstance(value, list) and len(value) <= MOST_ENTRIES and all(isinstance(each, str) for each in value)
        flag = isinstance(value, bool)
        if (field in FLAGS and flag) or (field in NUMBERS and isinstance(value, int) and not flag):
            found[field] = value
        elif field in TEXTS and isinstance(value, str):
            found[field] = text_or_none(value)
        elif field in LISTS and texts:
            found[field] = [text_or_none(each) for each in value]
        else:
            raise wrong(entry)
    return found


def number(value: Any, entry: Mapping[str, Any]) -> float:
    """A number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15:
        raise wrong(entry)
    return value


def wrong(entry: Mapping[str, Any]) -> HostError:
    """The error for an answer that has not the agreed shape."""
    return HostError(f"the host's answer for {entry['endpoint']} has no trace", code="bad_answer")
