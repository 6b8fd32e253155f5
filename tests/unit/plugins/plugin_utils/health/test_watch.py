# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import RenewBefore, parse_renew_before
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.health import codes as health_codes
from ansible_collections.fleet.tls.plugins.plugin_utils.health import watch

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.timezone.utc)
DAY = dt.timedelta(days=1)
TWO_WEEKS = RenewBefore(seconds=14 * 86400)
WATCHED = watch.parse_options({"endpoints": [{"host": "www.example.com", "port": 443, "hosts": ["web1"]}]}).watched[0]


def leaf(days: float = 30, age: float = 60, **changes: Any) -> dict[str, Any]:
    return {
        "subject": "CN=www",
        "issuer": "CN=CA",
        "common_name": "www",
        "dns_names": ["www.example.com"],
        "ip_addresses": [],
        "not_before": (NOW - age * DAY).isoformat(),
        "not_after": (NOW + days * DAY).isoformat(),
        "days_left": days,
        "serial": "2a",
        "fingerprint_sha256": "ab" * 32,
        "key_algorithm": "ecdsa-p256",
        "error": None,
        **changes,
    }


def entry(certificate: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "reachable": True,
        "error": None,
        "host": "www.example.com",
        "server_name": "www.example.com",
        "problems": [],
        "trusted": None,
        "certificates": [certificate or leaf()],
        **changes,
    }


def step(state: str, before: watch.RememberedEndpoint | None, now: dt.datetime = NOW, remind: int | None = None) -> Any:
    certificate = None if state == "endpoint_down" else leaf()
    return watch.observe(WATCHED, watch.Observation(state, ("why",), certificate), before, remind, now)


@pytest.mark.parametrize(
    ("found", "threshold", "state"),
    [
        (entry(), "14d", "ok"),
        (entry(leaf(13.9)), "14d", "expiring"),
        (entry(leaf(30, 60)), "34%", "expiring"),
        (entry(leaf(30, 60)), "33%", "ok"),
        (entry(leaf(-0.1)), "14d", "expired"),
        (entry(leaf(age=-1)), "14d", "not_yet_valid"),
        (entry(leaf(dns_names=["other.example.com"])), "14d", "name_mismatch"),
        (entry(leaf(dns_names=["*.example.com"]), trusted=True), "14d", "ok"),
        (entry(trusted=False, problems=["nobody knows this CA"]), "14d", "untrusted"),
        # What may be renewed is told before what may not.
        (entry(leaf(-1), trusted=False), "14d", "expired"),
        (entry(leaf(dns_names=[]), trusted=False), "14d", "name_mismatch"),
        (entry(leaf(5), trusted=False), "14d", "untrusted"),
        (entry({"fingerprint_sha256": None, "error": "not DER"}, problems=["cannot be read"]), "14d", "damaged"),
        (entry(reachable=False, certificates=[], error="connection refused"), "14d", "endpoint_down"),
        # It refused us after it had shown its certificate: that is all we wanted.
        (entry(error="the server refused with the TLS alert certificate required"), "14d", "ok"),
    ],
)
def test_states(found: dict[str, Any], threshold: str, state: str) -> None:
    sight = watch.sight(found, parse_renew_before(threshold), NOW)
    assert sight.state == state
    assert bool(sight.problems) or state in ("ok", "expired", "not_yet_valid", "name_mismatch")


def test_states_are_codes_of_the_health_document() -> None:
    assert set(watch.REMEDIES) - {"ok"} <= set(health_codes.CODES)


def test_an_event_a_change() -> None:
    first, event = step("ok", None)
    assert event is None
    same, event = step("ok", first, NOW + DAY)
    assert event is None and same == first
    second, event = step("expiring", same, NOW + 2 * DAY)
    assert event["state"] == "expiring" and event["before"] == "ok" and event["severity"] == "warning"
    assert event["since"] == "2026-11-26T12:00:00Z" and event["remedy"] == "run fleet.tls.deploy"
    assert event["hosts"] == ["web1"] and event["meta"] == {"hosts": ["web1"]}
    assert event["certificate"]["subject"] == "CN=www" and event["fingerprint_before"] == "ab" * 32
    same, event = step("expiring", second, NOW + 9 * DAY)
    assert event is None and same == second
    _third, event = step("ok", same, NOW + 10 * DAY)
    assert (event["state"], event["before"], event["severity"]) == ("ok", "expiring", "ok")
    json.dumps(event)


def test_what_is_not_well_at_the_start_is_told() -> None:
    _seen, event = step("endpoint_down", None)
    assert (event["state"], event["before"], event["certificate"]) == ("endpoint_down", None, None)


def test_reminders() -> None:
    seen, _event = step("expired", None)
    hour = 3600
    early, event = step("expired", seen, NOW + dt.timedelta(minutes=59), hour)
    assert event is None and early == seen
    again, event = step("expired", early, NOW + dt.timedelta(hours=1), hour)
    assert event["reminder"] and event["before"] == event["state"] == "expired"
    assert again.since == NOW and again.told == NOW + dt.timedelta(hours=1)
    well, _event = step("ok", again)
    assert step("ok", well, NOW + DAY, hour)[1] is None


def test_a_server_cannot_put_a_template_into_an_event() -> None:
    nasty = "{{ lookup('pipe', 'id') }}{% if %}\n\x1b[31m" + "x" * 9999
    certificate = leaf(subject=nasty, common_name=nasty, dns_names=[nasty] * 9999)
    sight = watch.Observation("untrusted", (nasty,), certificate)
    _seen, event = watch.observe(WATCHED, sight, None, None, NOW)
    text = json.dumps({**event, "meta": None}, ensure_ascii=False)
    assert "{{" not in text and "{%" not in text and "\x1b" not in text and "\\u001b" not in text
    assert len(event["certificate"]["dns_names"]) == watch.MOST_NAMES
    assert len(event["certificate"]["subject"]) == watch.LONGEST_TEXT


def test_what_is_remembered_comes_back() -> None:
    known = {WATCHED.key: step("expiring", None)[0], "gone": step("ok", None)[0]}
    content = json.loads(json.dumps(watch.to_remember(known, [WATCHED])))
    assert watch.remembered(content) == {WATCHED.key: known[WATCHED.key]}


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {
            "schema": "fleet.tls/watch/2",
            "endpoints": {"a": {"state": "ok", "since": "2026-01-01", "told": "2026-01-01"}},
        },
        {"schema": watch.SCHEMA, "endpoints": []},
        {
            "schema": watch.SCHEMA,
            "endpoints": {"a": 1, "b": {}, "c": {"state": "fine"}, "d": {"state": "ok", "since": "?"}},
        },
        {"schema": watch.SCHEMA, "endpoints": {"a": {"state": [], "since": "2026-01-01", "told": "2026-01-01"}}},
    ],
)
def test_a_state_file_that_is_none(content: Any) -> None:
    assert watch.remembered(content) == {}


def test_options() -> None:
    options = watch.parse_options(
        {
            "endpoints": [
                "smtp://mail.example.com:25",
                {"host": "::1", "port": 443, "server_name": "a", "timeout": "1s"},
            ],
            "interval": "90s",
            "threshold": "20%",
            "timeout": "2s",
            "anchors": "/etc/ca.pem",
            "state_file": "/var/lib/eda/state.json",
            "remind_after": "12h",
        }
    )
    first, second = options.watched
    assert (first.endpoint.starttls, first.endpoint.timeout, first.hosts) == ("smtp", 2.0, ())
    assert (second.endpoint.server_name, second.endpoint.timeout) == ("a", 1.0)
    assert (options.interval, options.threshold.fraction, options.remind_after) == (90, 0.2, 43200)
    assert options.anchors == ("/etc/ca.pem",)


def test_options_of_a_rulebook_that_leaves_them_out() -> None:
    raw = {"endpoints": ["a:1"], "anchors": None, "state_file": None, "remind_after": None, "timeout": "5s"}
    assert watch.parse_options(raw) == watch.parse_options({"endpoints": ["a:1"]})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"endpoints": []}, "endpoints is empty"),
        ({"endpoints": "a:1"}, "endpoints must be a list"),
        ({"endpoints": ["a"]}, "'a' is not host and port"),
        ({"endpoints": ["a:1", "a:1"]}, "tls://a:1/a appears twice"),
        ({"endpoints": [{"host": "a", "port": 1, "hosts": ["-x"]}]}, "'-x' is not a host or group"),
        ({"endpoints": [{"host": "a", "port": 1, "host_names": ["x"]}]}, "unknown option 'host_names'"),
        ({"interval": "5"}, "interval: '5' is not a duration"),
        ({"threshold": "soon"}, "threshold: 'soon' is not a duration"),
        ({"timeout": 5}, "timeout: '5' is not a duration"),
        ({"anchors": "ca.pem"}, "anchors is neither"),
        ({"state_file": "state.json"}, "state_file: 'state.json' is not an absolute path"),
        ({"remind_after": "0h"}, "remind_after: '0h'"),
        ({"treshold": "1d"}, "unknown option 'treshold'"),
    ],
)
def test_refused_options(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SpecError) as caught:
        watch.parse_options({"endpoints": ["a:1"], **changes})
    assert complaint in caught.value.message
    assert caught.value.remedy
