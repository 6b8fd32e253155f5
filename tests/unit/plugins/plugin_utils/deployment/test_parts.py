# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part that has something to do makes those due that come after it; one that only has something to say does not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.parts import (
    Outlook,
    asks_others,
    due_parts,
    in_order,
    outlook_of,
)


@pytest.mark.parametrize(
    ("result", "due"),
    [
        ({"changed": False}, False),
        ({"changed": True}, True),
        ({"changed": False, "missing": True}, True),
        ({"changed": False, "missing": False, "proven": True, "unproven": [], "unanswered": []}, False),
        ({"changed": False, "proven": False}, True),
        ({"changed": False, "unproven": ["www"]}, True),
        ({"changed": False, "unanswered": ["www"]}, True),
    ],
)
def test_what_a_result_says_of_its_part(result: dict[str, Any], due: bool) -> None:
    assert bool(outlook_of(result).why) is due and not outlook_of(result).says


def test_a_warning_is_worth_saying() -> None:
    assert outlook_of({"changed": False, "warnings": ["weak"]}) == Outlook(says=True)


def test_what_comes_after_is_due_as_well() -> None:
    nothing, something = Outlook(), Outlook("it would change something")
    known = {"clients": nothing, "trust": something, "certificates": nothing, "web_server": nothing}
    assert due_parts(known) == ["trust", "web_server", "clients"]
    assert due_parts(dict.fromkeys(known, nothing)) == [] == due_parts({})


def test_what_only_says_something_is_due_alone() -> None:
    assert due_parts({"certificates": Outlook(says=True), "trust": Outlook(), "clients": Outlook("x")}) == [
        "certificates",
        "clients",
    ]


def test_parts_come_in_the_playbook_s_order() -> None:
    assert in_order(["clients", "ca", "nonsense", "certificates"]) == ["certificates", "ca", "clients"]


def test_clients_and_sites_with_an_upstream_by_tls_ask_others() -> None:
    plain, guarded = {"name": "www", "upstream": "http://127.0.0.1:80"}, {"name": "app", "upstream": "https://app.test"}
    assert asks_others(["ca", "trust"], []) == [] == asks_others(["web_server"], [plain, {"name": "static"}])
    assert asks_others(["clients"], [plain]) == ["clients"]
    # Without the part ca, its server would be told of nobody's challenges, and answer them no more.
    assert asks_others(["web_server"], [plain, guarded]) == ["ca", "web_server"]
    assert asks_others(["web_server", "clients"], [guarded]) == ["ca", "web_server", "clients"]
    # What is no site at all, its part says.
    assert asks_others(["web_server"], ["nonsense", None]) == []
