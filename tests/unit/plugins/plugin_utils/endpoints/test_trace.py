# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces that come from a host: their shape is checked, their size bounded, their text printable."""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps.trace import trace_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace import MOST_CONNECTIONS, check_count, read_trace
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.wanted import read_answer
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, tls_server

NOW = dt.datetime.now(dt.timezone.utc)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Endpoint, dict[str, Any]]:
    """A real answer, as it came over the wire."""
    ca = Authority(tmp_path_factory.mktemp("ca"))
    with tls_server(ca.issue("www", "DNS:www.example.com")) as address:
        _changed, answer = trace_step({"endpoints": [{"host": address.host, "port": address.port, "timeout": 20}]})
    return Endpoint(address.host, address.port), json.loads(json.dumps(answer))


def read(endpoint: Endpoint, answer: dict[str, Any]) -> dict[str, Any]:
    (entry,) = read_answer([endpoint], answer, anchors=None, now=NOW)
    return read_trace(endpoint, answer["results"][0], entry, None, NOW)


def test_as_it_came(real: tuple[Endpoint, dict[str, Any]]) -> None:
    endpoint, answer = real
    read_back = read(endpoint, copy.deepcopy(answer))
    told = answer["results"][0]["trace"]["connections"][0]["messages"]
    kept = read_back["connections"][0]["messages"]
    assert [each["number"] for each in kept] == list(range(1, len(told) + 1))
    fields = ("sender", "at", "protocol", "content", "name", "size", "encrypted", "details")
    assert [[each[field] for field in fields] for each in kept] == [[each[field] for field in fields] for each in told]
    assert json.loads(json.dumps(read_back)) == read_back


def test_texts_are_printable_and_short(real: tuple[Endpoint, dict[str, Any]]) -> None:
    endpoint, answer = real
    answer = copy.deepcopy(answer)
    first = answer["results"][0]["trace"]["connections"][0]["messages"][0]
    first["name"] = "Client\x1b[31mHello\n\u202e"
    first["details"]["server_name"] = "x" * 100000
    kept = read(endpoint, answer)["connections"][0]["messages"][0]
    assert kept["name"] == "Client?[31mHello??"
    assert len(kept["details"]["server_name"]) == 500


def nested(depth: int) -> Any:
    return [] if depth == 0 else [nested(depth - 1)]


WRONG: list[tuple[tuple[Any, ...], Any]] = [
    (("trace",), None),
    (("trace",), []),
    (("trace", "connections"), []),
    (("trace", "connections"), [{}] * 401),
    (("trace", "connections", 0), "x"),
    (("trace", "connections", 0, "messages"), None),
    (("trace", "connections", 0, "messages"), [{}] * 201),
    (("trace", "connections", 0, "sent"), "many"),
    (("trace", "connections", 0, "received"), -1),
    (("trace", "connections", 0, "connected"), math.nan),
    (("trace", "connections", 0, "dropped"), math.inf),
    (("trace", "connections", 0, "messages", 0), None),
    (("trace", "connections", 0, "messages", 0, "sender"), "eve"),
    (("trace", "connections", 0, "messages", 0, "at"), None),
    (("trace", "connections", 0, "messages", 0, "size"), True),
    (("trace", "connections", 0, "messages", 0, "details"), []),
    (("trace", "connections", 0, "messages", 0, "details", "versions"), nested(9)),
    (("trace", "connections", 0, "messages", 0, "details", "ciphers"), ["x"] * 1000),
    (("trace", "connections", 0, "messages", 0, "details", "alpn"), 1.5),
    (("trace", "connections", 0, "messages", 0, "certificates"), {}),
    (("trace", "connections", 0, "messages", 0, "certificates"), [1]),
    (("trace", "connections", 0, "messages", 0, "certificates"), ["x"] * 65),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_wrong_shapes_are_refused(real: tuple[Endpoint, dict[str, Any]], path: tuple[Any, ...], value: Any) -> None:
    endpoint, answer = real
    answer = copy.deepcopy(answer)
    place = answer["results"][0]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(HostError, match="has no trace"):
        read(endpoint, answer)


@pytest.mark.parametrize(
    "details",
    [
        {"versions": 1, "ciphers": 7, "groups": "x", "key_shares": 3, "alpn": 4, "signature_schemes": True},
        {
            "ticket_size": "x",
            "lifetime": [],
            "authorities": 5,
            "level": ["fatal"],
            "session_id": {},
            "uncompressed_size": "x",
            "psk": 1,
            "count": True,
            "surprise": "x",
        },
    ],
)
def test_details_of_another_type_are_refused(real: tuple[Endpoint, dict[str, Any]], details: dict[str, Any]) -> None:
    """Nothing that reads them afterwards has to ask again."""
    endpoint, answer = real
    for field, value in details.items():
        changed = copy.deepcopy(answer)
        changed["results"][0]["trace"]["connections"][0]["messages"][0]["details"][field] = value
        with pytest.raises(HostError, match="has no trace"):
            read(endpoint, changed)


def test_a_certificate_that_cannot_be_read(real: tuple[Endpoint, dict[str, Any]]) -> None:
    endpoint, answer = real
    answer = copy.deepcopy(answer)
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for message in answer["results"][0]["trace"]["connections"][0]["messages"]:
        if message["certificates"]:
            message["certificates"] = [broken]
    (connection,) = read(endpoint, answer)["connections"]
    (shown,) = next(each["certificates"] for each in connection["messages"] if each["certificates"])
    assert shown["error"] and len(shown["fingerprint_sha256"]) == 64


@pytest.mark.parametrize(("resumption", "places"), [(False, 0), (True, 0), (True, 2)])
def test_more_than_anybody_would_look_at(resumption: bool, places: int) -> None:
    most = MOST_CONNECTIONS // (1 + resumption + places)
    check_count({"endpoints": [{}] * most, "resumption": resumption, "resume_at": [{}] * places})
    with pytest.raises(SpecError, match="connections are too many to be traced"):
        check_count({"endpoints": [{}] * (most + 1), "resumption": resumption, "resume_at": [{}] * places})
