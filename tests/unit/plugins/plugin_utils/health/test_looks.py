# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks at a host as one task's result, and what the health document makes of that: the same as of a task for each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.health.looks import (
    LOOKS,
    SKIPPED,
    Wish,
    asks_host,
    changed_wishes,
    is_away,
    one_result,
    speaks_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.health.task_results import document_of

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.timezone.utc)
FAILED = {"failed": True, "msg": "Task failed: no", "error": {"code": "spec", "message": "no", "remedy": "say yes"}}
AWAY = {"unreachable": True, "msg": "Task failed: no route"}
SITE = {"host": "127.0.0.1", "port": 443, "server_name": "www.example.com", "certificate": "www"}
DOWN = {"endpoints": [{"endpoint": "127.0.0.1:443", "server_name": "www.example.com", "error": "refused"}]}
WWW = {"name": "www", "path": "/etc/fleet-tls/live/www", "action": "issue", "installed": False, "dns_names": ["a"]}
HOSTS: dict[str, dict[str, Mapping[str, Any]]] = {
    "down": {"certificates": {"certificates": [WWW]}, "sites": DOWN},
    "away": {"files": AWAY, "site_clashes": AWAY},
    "odd": {"certificates": FAILED, "endpoints": FAILED, "files": {"files": [{"path": "/x", "error": "odd"}]}},
    "clash": {"site_clashes": {**FAILED, "error": {**FAILED["error"], "code": "site_clash"}}},
    "sites": {"site_list": FAILED},
    "none": {},
}


def judged(looks: Any, files: Any, probes: Any, wanted: Any) -> dict[str, Any]:
    """The health document."""
    return document_of(looks, files, probes, wanted, {}, {}, threshold=None, interval="1d", ring_age="7d", now=NOW)


def test_one_task_or_one_for_each_is_the_same_document() -> None:
    results = {host: {name: looks.get(name, SKIPPED) for name in LOOKS} for host, looks in HOSTS.items()}
    each = [{host: looks[name] for host, looks in results.items()} for name in LOOKS]
    wanted = {host: [SITE] if host == "down" else [] for host in HOSTS}
    document = judged(each[0], each[1], each[2:], wanted)
    together = {host: one_result(looks, wanted[host]) for host, looks in HOSTS.items()}
    assert judged(together, {}, [], {}) == document
    codes = {(each["host"], each["code"]) for each in document["findings"]}
    assert codes >= {("down", "missing"), ("away", "unreachable"), ("odd", "failed"), ("odd", "unmanaged")}
    # It is known what was to be served there.
    assert ("down", "endpoint_down") not in codes
    unknown = judged(each[0], each[1], each[2:], {})
    assert ("down", "endpoint_down") in {(each["host"], each["code"]) for each in unknown["findings"]}
    assert {host for host, code in codes if code in ("failed", "site_clash")} == {"odd", "clash", "sites"}
    assert not [host for host, _code in codes if host == "none"]


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [(FAILED, "failed", "no"), (AWAY, "unreachable", "cannot be reached: Task failed: no route"), ({}, "failed", "it was not looked at")],
)  # fmt: skip
def test_a_host_whose_task_itself_came_to_nothing(result: dict[str, Any], code: str, words: str) -> None:
    (found,) = judged({"web1": result}, {}, [], {})["findings"]
    assert (found["code"], found["message"]) == (code, words)


def test_facts_and_warnings_are_where_ansible_looks_for_them() -> None:
    looks = {
        "certificates": {"warnings": ["a", "b"], "ansible_facts": {"fleet_tls_host": {"family": "debian"}}},
        "files": {"warnings": ["b"], "files": []},
    }
    result = one_result(looks, [SITE])
    assert result["warnings"] == ["a", "b"] and result["ansible_facts"] == {"fleet_tls_host": {"family": "debian"}}
    assert result["looks"]["files"] == looks["files"] and "ansible_facts" not in result["looks"]["certificates"]
    assert list(result["looks"]) == list(LOOKS) and result["looks"]["sites"] == SKIPPED
    assert not one_result({}, []).keys() & {"warnings", "ansible_facts"}


def test_who_needs_the_host() -> None:
    assert asks_host("sites", Wish({"endpoints": []})) and asks_host("endpoints", Wish({"origin": "host"}))
    assert not asks_host("endpoints", Wish({"origin": "controller"})) and not asks_host("files", Wish())
    assert Wish(refused=FAILED).untaken == FAILED and Wish().untaken == SKIPPED


def test_a_host_is_away_when_what_every_host_is_asked_says_so() -> None:
    assert is_away({"files": AWAY}) and is_away({"certificates": AWAY, "files": SKIPPED})
    assert not is_away({"files": {"files": []}, "sites": AWAY}) and not is_away({})


def test_what_was_asked_otherwise_is_asked_anew() -> None:
    before = {
        "certificates": Wish({"a": 1}),
        "files": Wish({"a": 1}),
        "sites": Wish(refused=FAILED),
        "endpoints": Wish(),
    }
    after = {**before, "certificates": Wish({"a": 2}), "sites": Wish({"a": 1}), "endpoints": Wish({})}
    assert changed_wishes(before, after) == ["sites", "endpoints"] and changed_wishes(before, before) == []


def test_what_variables_speak_of() -> None:
    word = "fleet_tls_host"
    template = {"tls_endpoints": [{"host": "{{ ansible_facts.fleet_tls_host.family }}"}]}
    assert speaks_of(word, template) and speaks_of(word, {"mine": {"a": ({"b": word},)}})
    assert not speaks_of(
        word, {"hostvars": template, "vars": template, "ansible_facts": {"x": word}, "tls_hosts": 7, word: {}}
    )
