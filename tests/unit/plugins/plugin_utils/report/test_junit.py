# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given


def suites(document: dict[str, Any]) -> dict[str, ET.Element]:
    return {str(each.get("name")): each for each in ET.fromstring(render(document, "junit"))}


def failing(suite: ET.Element) -> dict[str, str]:
    cases = {str(case.get("name")): case.find("failure") for case in suite}
    return {name: str(failure.get("type")) for name, failure in cases.items() if failure is not None}


def test_a_case_a_host_and_certificate_fails_with_finding_and_remedy() -> None:
    found = suites(given.sample())
    assert {name: failing(suite) for name, suite in found.items()} == {
        "db1": {"host": "unreachable"},
        "mail1": {"mail": "expired"},
        "web1": {
            "intranet.example.com (/etc/nginx/old/intranet.pem)": "expiring",
            "file /etc/nginx/old/intranet.key": "key_exposed",
        },
        "web2": {"www": "not_served", "api": "missing"},
        "controller": {"crl internal: CN=internal CA Issuing 2026-11": "crl_expiring", "ring api": "ring_old"},
    }
    failure = found["mail1"].find("testcase/failure")
    assert failure is not None and failure.get("message") == "expired on 2026-11-14T00:00:00Z, 10 days ago"
    assert str(failure.text).endswith("remedy: run fleet.tls.deploy -l mail1")


def test_what_the_next_run_settles_fails_nothing() -> None:
    shop = next(case for case in suites(given.sample())["web2"] if str(case.get("name")).startswith("shop"))
    assert shop.find("failure") is None
    assert "unmanaged" in str(shop.findtext("system-out"))


def test_counts_are_right() -> None:
    root = ET.fromstring(render(given.sample(), "junit"))
    for level in (root, *root):
        assert int(str(level.get("tests"))) == len(list(level.iter("testcase")))
        assert int(str(level.get("failures"))) == len(list(level.iter("failure")))


def test_a_hostile_world_stays_text() -> None:
    found = suites(given.hostile())
    texts = [str(failure.get("message")) for suite in found.values() for failure in suite.iter("failure")]
    assert "<script>window.broken = 1</script>" in texts
    assert {each.tag for suite in found.values() for each in suite.iter()} == {"testsuite", "testcase", "failure"}
