# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules and the dashboard: promtool reads them, alerts fire for what they are about, and every metric is one that is written."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render
from ansible_collections.fleet.tls.plugins.plugin_utils.report.prometheus import families
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given
from tools import packages, paths

FOLDER = paths.ROOT / "extensions" / "monitoring"
RULES = FOLDER / "fleet_tls.rules.yml"
# A name in a query that is a metric: no function, label or keyword of PromQL.
METRIC = re.compile(r"\b(?:x509|fleet_tls)_\w+")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    command = [packages.find("promtool") or "promtool", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def series(document: dict[str, Any], days: int) -> list[dict[str, str]]:
    """The document's metrics as promtool's tests have them: a sample every five minutes, always the same."""
    lines = [line for line in render(document, "prometheus").splitlines() if not line.startswith("#")]
    return [
        {"series": name, "values": f"{value}+0x{days * 288}"} for name, value in (line.rsplit(" ", 1) for line in lines)
    ]


def firing(document: dict[str, Any], tmp_path: Path, hours: int, lasting: int | None = None) -> set[str]:
    """The alerts that fire so long after the check; promtool's clock begins at 1970, and so do the document's moments.

    :param lasting: how many days the file is there.
    """
    names = [rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]
    # promtool only compares: each alert is expected not to fire, and those that do are told.
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "5m",
        "tests": [
            {
                "interval": "5m",
                "input_series": series(document, 1 + hours // 24 if lasting is None else lasting),
                "alert_rule_test": [{"eval_time": f"{hours}h", "alertname": name, "exp_alerts": []} for name in names],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(test))
    done = promtool("test", "rules", str(path))
    told = set(re.findall(r"alertname:\s*(\w+),", done.stdout + done.stderr))
    assert (done.returncode == 0) == (not told), done.stdout + done.stderr
    return told & set(names)


def at_the_epoch(document: dict[str, Any]) -> dict[str, Any]:
    """The document with all its moments moved, so that it was made at the beginning of 1970."""
    made = parse_moment(document["generated"])

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(each) for key, each in value.items()}
        if isinstance(value, list):
            return [moved(each) for each in value]
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
            then = parse_moment(value) - made + dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone.utc)
            return then.strftime("%Y-%m-%dT%H:%M:%SZ")
        return value

    return moved(copy.deepcopy(document))


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    """A document in which nothing is wrong and nothing is near its end."""
    document = at_the_epoch(given.sample())
    for each in [*document["certificates"], *document["authorities"]]:
        each["not_after"] = "1971-01-01T00:00:00Z"
    for each in document["hosts"]:
        each["reachable"] = True
    for each in document["rings"]:
        each["created"] = document["generated"]
    document["findings"] = []
    return document


def test_promtool_reads_the_rules() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0 and "8 rules found" in done.stdout, done.stdout + done.stderr


def test_nothing_fires_where_all_is_well(healthy: dict[str, Any], tmp_path: Path) -> None:
    assert firing(healthy, tmp_path, 2) == set()


def test_a_check_that_stopped(healthy: dict[str, Any], tmp_path: Path) -> None:
    assert firing(healthy, tmp_path, 24 * 3) == {"TlsNotLookedAt"}


def test_a_file_that_is_not_there(healthy: dict[str, Any], tmp_path: Path) -> None:
    assert firing(healthy, tmp_path, 24, lasting=0) == {"TlsNotLookedAt"}


def test_what_is_wrong_is_told(healthy: dict[str, Any], tmp_path: Path) -> None:
    document = copy.deepcopy(healthy)
    finding = dict(given.sample()["findings"][0])
    document["findings"] = [{**finding, "severity": "critical"}, {**finding, "severity": "warning"}]
    document["hosts"][0]["reachable"] = False
    document["certificates"][0]["not_after"] = "1970-01-03T00:00:00Z"
    roots = [each for each in document["authorities"] if each["kind"] == "root"]
    lists = [each for each in document["authorities"] if each["kind"] == "crl"]
    assert roots and lists and document["rings"]
    roots[0]["not_after"] = "1970-02-01T00:00:00Z"
    lists[0]["not_after"] = "1970-01-01T00:30:00Z"
    for ring in document["rings"]:
        ring["created"] = "1960-01-01T00:00:00Z"
    # A warning has a day until the next deployment.
    told = {
        "TlsCritical",
        "TlsExpiresSoon",
        "TlsAuthorityExpiresSoon",
        "TlsRevocationListStale",
        "TlsSessionTicketKeysOld",
    }
    assert firing(document, tmp_path, 3) == told
    assert firing(document, tmp_path, 28) == {*told, "TlsWarning", "TlsHostUnreachable"}


def queries() -> list[str]:
    """Those of the dashboard."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_the_dashboard_asks_for_what_is_written(tmp_path: Path) -> None:
    assert len(queries()) > 10
    rules = {
        "groups": [{"name": "all", "rules": [{"record": f"q{n}", "expr": each} for n, each in enumerate(queries())]}]
    }
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump(rules))
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    written = set(families(given.sample()))
    for text in [*queries(), RULES.read_text(encoding="utf-8")]:
        assert set(METRIC.findall(text.replace("fleet_tls.rules", ""))) <= written
