# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.health import codes
from tools import paths

SCHEMA = json.loads((paths.ROOT / "docs" / "health.schema.json").read_text())
SAMPLE = json.loads((paths.ROOT / "tests" / "unit" / "fixtures" / "health.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one_and_the_sample_follows_it() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(SAMPLE)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("findings", {"code": "bad_weather"}),
        ("findings", {"severity": "ok"}),
        ("findings", {"message": ""}),
        ("certificates", {"not_after": "2026-11-01"}),
        ("certificates", {"private_key": "…"}),
        ("authorities", {"kind": "leaf"}),
    ],
)
def test_the_schema_refuses(part: str, change: dict[str, Any]) -> None:
    wrong = {**SAMPLE, part: [{**SAMPLE[part][0], **change}]}
    assert not VALIDATOR.is_valid(wrong)


def test_schema_and_documentation_have_the_same_words() -> None:
    parts = SCHEMA["$defs"]
    assert parts["code"]["enum"] == list(codes.CODES)
    assert tuple(parts["severity"]["enum"]) == codes.SEVERITIES
    assert tuple(parts["finding"]["properties"]["kind"]["enum"]) == codes.KINDS
    assert tuple(parts["certificate"]["properties"]["origin"]["enum"]) == codes.ORIGINS
    assert tuple(parts["certificate"]["properties"]["next_run"]["enum"]) == codes.NEXT_RUNS
    assert tuple(parts["authority"]["properties"]["kind"]["enum"]) == codes.AUTHORITY_KINDS
    assert SCHEMA["properties"]["schema"]["const"] == codes.SCHEMA
    told = re.findall(
        r"^\| `(\w+)` \| (\w+) \|", (paths.ROOT / "docs" / "health-document.md").read_text(), re.MULTILINE
    )
    assert told == [(code, about.severity) for code, about in codes.CODES.items()]


def test_the_worse_severity_comes_first() -> None:
    ranks = [codes.SEVERITIES.index(about.severity) for about in codes.CODES.values()]
    assert ranks == sorted(ranks, reverse=True)
    assert codes.worst_code(["due", "expired", "weak"]) == "expired"
    assert codes.worst_severity(["notice", "warning"]) == "warning"
    assert codes.worst_code([]) == codes.worst_severity([]) == "ok"


def test_what_makes_a_check_fail() -> None:
    assert codes.failing("warning") == ("warning", "critical")
    assert codes.failing("critical") == ("critical",)
    assert codes.failing("never") == ()
    with pytest.raises(SpecError, match="tls_check_fail_on: 'always' is unknown"):
        codes.failing("always")


def finding(host: str | None, severity: str, subject: str) -> dict[str, Any]:
    """One of a health document."""
    return {"host": host, "severity": severity, "subject": subject, "code": "due", "message": "words"}


def test_each_host_fails_for_its_own_and_the_first_for_what_is_nobody_s() -> None:
    document = {
        "findings": [
            finding("b", "critical", "b1"), finding(None, "warning", "ca"), finding("a", "warning", "a1"), finding("b", "notice", "b2"),
            finding("b", "warning", "b3"), finding("c", "critical", "c1"), finding("d", "notice", "d1"),
        ]
    }  # fmt: skip
    words = {"a": "warning", "b": "critical", "c": "never", "d": "warning", "e": "sometimes"}
    failed = codes.failed_hosts(document, words)
    assert {host: failed[host] for host in "ab"} == {"a": ["a1: due: words", "ca: due: words"], "b": ["b1: due: words"]}
    assert list(failed) == ["a", "b", "e"] and "tls_check_fail_on" in failed["e"][0] and "'sometimes'" in failed["e"][0]
    assert codes.failed_hosts(document, {"d": "critical"}) == {}
    for host, word in words.items():
        if host not in ("a", "e"):
            assert failed.get(host, []) == codes.failing_texts(document, host, codes.failing(word))
