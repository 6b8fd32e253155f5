# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other programs say of the forms: promtool, an XML schema, a calendar library, a spreadsheet's own reader."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from pathlib import Path
from typing import Any

import icalendar
import pytest
from lxml import etree

from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import printable
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given
from tools import packages

EMPTY = given.document([], [], hosts=[])
DOCUMENTS = {"sample": given.sample(), "hostile": given.hostile(), "many": given.many(60), "empty": EMPTY}
everywhere = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)


def promtool(text: str) -> subprocess.CompletedProcess[str]:
    """What promtool says of metrics: 0 and nothing, 3 and its advice, or 1."""
    command = [packages.find("promtool") or "promtool", "check", "metrics"]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


@everywhere
def test_promtool_has_nothing_to_say(document: dict[str, Any]) -> None:
    done = promtool(render(document, "prometheus"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_would_say_it() -> None:
    assert promtool(render(given.sample(), "prometheus").replace('host="web1"', 'host="we"b1"')).returncode == 1


def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))


@everywhere
def test_junit_follows_the_schema(document: dict[str, Any]) -> None:
    schema().assertValid(etree.fromstring(render(document, "junit").encode()))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('failures="8"', 'failures="many"'),
        ('timestamp="2026-11-24T17:00:00"', 'timestamp="yesterday"'),
        ('classname="', 'class="'),
    ],
)
def test_the_schema_would_refuse(right: str, wrong: str) -> None:
    text = render(given.sample(), "junit")
    assert right in text
    assert not schema().validate(etree.fromstring(text.replace(right, wrong).encode()))


@everywhere
def test_a_calendar_reads_every_event(document: dict[str, Any]) -> None:
    calendar = icalendar.Calendar.from_ical(render(document, "ics"))
    assert calendar["VERSION"] == "2.0" and calendar["PRODID"]
    assert calendar.errors == []
    events = calendar.walk("VEVENT")
    assert len({str(event["UID"]) for event in events}) == len(events)
    for event in events:
        assert event.errors == []
        assert event["DTSTART"].dt.tzinfo is not None and event["DTSTAMP"].dt == given.NOW
        alarms = event.walk("VALARM")
        assert [(str(each["ACTION"]), each["TRIGGER"].dt) for each in alarms] == [("DISPLAY", dt.timedelta(days=-14))]


def test_a_calendar_shows_what_was_said_word_for_word() -> None:
    events = icalendar.Calendar.from_ical(render(given.hostile(), "ics")).walk("VEVENT")
    told = {str(event["SUMMARY"]).rpartition(" expires")[0] for event in events}
    for text in given.HOSTILE_TEXTS:
        assert printable(text) in told


def test_a_calendar_that_reads_it_again_updates_its_events() -> None:
    before, after = given.sample(), {**given.sample(), "generated": "2026-12-01T00:00:00Z"}
    first, second = (
        {str(event["UID"]): event for event in icalendar.Calendar.from_ical(render(each, "ics")).walk("VEVENT")}
        for each in (before, after)
    )
    assert first.keys() == second.keys()
    assert all(second[each]["DTSTAMP"].dt > first[each]["DTSTAMP"].dt for each in first)


@everywhere
def test_json_is_json(document: dict[str, Any]) -> None:
    assert json.loads(render(document, "json"))["schema"] == "fleet.tls/health/1"
