# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.gathering import gathered

KNOWN: dict[str, dict[str, Any]] = {
    "web1": {"issuers": {"internal": {"type": "ca"}}, "first": {"failed": False}, "second": {"failed": True, "msg": " no rights "}},
    "web2": {"certificates": [{"name": "www"}, {"name": "mail"}, {"dns_names": []}, "odd"], "second": {"unreachable": True, "msg": "away"}},
    "printer": {},
}  # fmt: skip


def test_a_variable_of_each_host() -> None:
    assert gathered(KNOWN, "first", ["web1", "web2"]) == {"web1": {"failed": False}, "web2": {}}
    assert gathered(KNOWN, "first", ["web2"], default="none") == {"web2": "none"}
    assert gathered(KNOWN, "first", ["web2", "gone"], default=[]) == {"web2": []}


def test_names() -> None:
    assert gathered(KNOWN, "issuers", KNOWN, "names") == {"web1": ["internal"], "web2": [], "printer": []}
    assert gathered(KNOWN, "certificates", ["web2"], "names") == {"web2": ["www", "mail"]}


def test_the_first_failure_in_words() -> None:
    assert gathered(KNOWN, ["first", "second"], KNOWN, "failure") == {
        "web1": "failed: no rights", "web2": "unreachable: away", "printer": ""
    }  # fmt: skip
    long = {"web1": {"it": {"failed": True, "msg": "x" * 10_000}}}
    assert gathered(long, "it", ["web1"], "failure")["web1"] == "failed: " + "x" * 600


def test_what_follows_the_part_that_was_found_stays_unread() -> None:
    class Once(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if name == "unread":
                raise AssertionError("it was read")
            return super().__getitem__(name)

    values = Once(read={"failed": True, "msg": "first"}, unread={})
    assert gathered({"web1": values}, ["read", "unread"], ["web1"], "failure") == {"web1": "failed: first"}


def test_bad_input() -> None:
    with pytest.raises(SpecError, match="it needs hostvars"):
        gathered([], "it", [])
    with pytest.raises(SpecError, match="part: 'all' is unknown"):
        gathered(KNOWN, "it", [], "all")
