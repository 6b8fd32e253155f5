# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render
from ansible_collections.fleet.tls.plugins.plugin_utils.report.ics import alarm_days, fold
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given


def lines(document: dict[str, Any]) -> list[str]:
    """Unfolded."""
    return render(document, "ics").replace("\r\n ", "").split("\r\n")


def test_lines_are_short_and_end_with_cr_lf_and_no_character_is_split() -> None:
    text = render(given.hostile(), "ics")
    assert text.count("\n") == text.count("\r\n")
    for line in text.split("\r\n"):
        assert len(line.encode()) <= 75
    assert text.endswith("END:VCALENDAR\r\n")


def test_a_certificate_on_several_hosts_is_one_event_that_keeps_its_identity() -> None:
    same = [given.certificate(host=f"web{index}", fingerprint_sha256="ab" * 32) for index in range(5)]
    found = lines(given.document(same, []))
    assert [each for each in found if each.startswith("UID:")] == [f"UID:{'ab' * 32}@fleet-tls.invalid"]
    assert "SUMMARY:www expires (web0\\, web1\\, web2 and 2 more)" in found
    assert "DTSTART:20270122T170000Z" in found


def test_revocation_lists_are_told_when_something_is_wrong_with_them() -> None:
    told = [each for each in lines(given.sample()) if each.startswith("SUMMARY:") and "CA" in each]
    assert told == [
        "SUMMARY:Revocation list CN=internal CA Issuing 2026-11 expires",
        "SUMMARY:Issuing CA CN=internal CA Issuing 2026-11 expires",
        "SUMMARY:Root CA CN=internal CA Root expires",
    ]


def test_nobody_else_begins_an_event() -> None:
    found = lines(given.hostile())
    assert (
        found.count("BEGIN:VEVENT")
        == found.count("END:VEVENT")
        == len([each for each in found if each.startswith("UID:")])
    )


@pytest.mark.parametrize(
    ("threshold", "days"), [("14d", 14), ("12h", 1), ("36h", 2), ("33%", 14), ("14d or 16%", 14), ("", 14)]
)
def test_alarms(threshold: str, days: int) -> None:
    assert alarm_days({"threshold": threshold}) == days


@pytest.mark.parametrize("line", ["x" * 74, "x" * 75, "x" * 76, "x" * 150, "😀" * 40, ""])
def test_folding_can_be_undone(line: str) -> None:
    pieces = list(fold(line))
    assert "".join([pieces[0], *(each[1:] for each in pieces[1:])]) == line
    assert all(len(each.encode()) <= 75 for each in pieces)
    assert all(each.startswith(" ") for each in pieces[1:])
