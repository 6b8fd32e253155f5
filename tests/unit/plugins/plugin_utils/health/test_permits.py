# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts could get, in the health document and in the lines under its table."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import HostInput
from ansible_collections.fleet.tls.plugins.plugin_utils.health.permits import permit_rows
from ansible_collections.fleet.tls.plugins.plugin_utils.report.permits import permit_lines

WEB: dict[str, Any] = {
    "dns_names": ["*.web.example.com"],
    "subject": {"O": ["Example", "Sample"]},
    "max_duration": "30d",
}


def test_hosts_with_the_same_rules_are_together() -> None:
    many = [HostInput(f"web{number}", permits={"internal": [WEB], "free": None}) for number in range(9)]
    rows = permit_rows([*many, HostInput("db1", permits={"internal": []}), HostInput("none")])
    assert [(each["issuer"], each["rules"], len(each["hosts"])) for each in rows] == [
        ("free", None, 9), ("internal", [], 1), ("internal", [WEB], 9),
    ]  # fmt: skip
    assert permit_lines({"permits": rows}) == [
        "internal permits db1: nothing",
        "internal permits web0, web1, web2, web3, web4, web5 and 3 more:"
        " dns_names *.web.example.com; subject O=Example, O=Sample; max_duration 30d",
    ]


def test_without_rules_nothing_is_said() -> None:
    assert permit_lines({}) == [] == permit_lines({"permits": permit_rows([HostInput("a", permits={"free": None})])})
    assert permit_lines({"permits": [{"issuer": "a", "rules": [{}], "hosts": ["x"]}]}) == ["a permits x: everything"]
