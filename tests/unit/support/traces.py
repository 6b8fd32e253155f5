# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real handshake, traced and read as fleet.tls.endpoint_info does it, without Ansible around it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.steps.trace import trace_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints import wanted as scan
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace import read_trace
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Address, Pair


def traced(
    address: Address, *, resume: bool = False, anchors: str | None = None, client: Pair | None = None, **more: Any
) -> dict[str, Any]:
    """The entry of one endpoint, with its ``trace``.

    :param client: whose certificate to show.
    :param more: fields of the endpoint.
    """
    if client is not None:
        more.update(client_certificate=str(client.chain), client_key=str(client.key))
    endpoint = Endpoint(address.host, address.port, **{"timeout": 20.0, **more})
    _changed, answer = trace_step({"endpoints": [scan.endpoint_request(endpoint)], "resumption": resume})
    roots, now = scan.parse_anchors(anchors), dt.datetime.now(dt.timezone.utc)
    (entry,) = scan.read_answer([endpoint], answer, anchors=roots, now=now)
    return {**entry, "trace": read_trace(endpoint, answer["results"][0], entry, roots, now)}


def names(entry: dict[str, Any], connection: int = 0) -> list[str]:
    """Who sent what, in order: ``c`` or ``s`` and the message's name, in braces where it was encrypted."""
    return [
        f"{message['sender'][0]} {{{message['name']}}}"
        if message["encrypted"]
        else f"{message['sender'][0]} {message['name']}"
        for message in entry["trace"]["connections"][connection]["messages"]
    ]


def summary(entry: dict[str, Any], connection: int = 0) -> dict[str, Any]:
    """The summary of one connection."""
    return entry["trace"]["connections"][connection]["summary"]


def details(entry: dict[str, Any], name: str, sender: str = "server", connection: int = 0) -> dict[str, Any]:
    """The details of the first message of a name."""
    return message(entry, name, sender, connection)["details"]


def message(entry: dict[str, Any], name: str, sender: str = "server", connection: int = 0) -> dict[str, Any]:
    """The first message of a name."""
    messages = entry["trace"]["connections"][connection]["messages"]
    return next(each for each in messages if each["name"] == name and each["sender"] == sender)
