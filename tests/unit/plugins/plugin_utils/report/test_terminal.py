# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given


def test_everything_found_comes_first_then_the_tables() -> None:
    lines = render(given.sample(), "terminal").splitlines()
    assert lines[0] == "2026-11-24T17:00:00Z  4 hosts, 6 certificates: 5 critical, 4 warning, 2 notice"
    assert lines[6:9] == [
        "CRITICAL expired  mail1: mail",
        "    expired on 2026-11-14T00:00:00Z, 10 days ago",
        "    remedy: run fleet.tls.deploy -l mail1",
    ]
    row = next(line for line in lines if line.startswith("web2   www"))
    assert row.split() == [
        "web2",
        "www",
        "internal",
        "59.0",
        "2027-01-22T17:00:00Z",
        "bbbbbbbb",
        "another",
        "repair",
        "not_served",
    ]
    assert lines[-1] == "api            2        54.5  ring_old"


def test_a_fleet_that_is_well_is_said_to_be() -> None:
    assert render(given.document([given.certificate()], []), "terminal").startswith(
        "2026-11-24T17:00:00Z  1 host, 1 certificate: all well\n"
    )


def test_columns_stand_below_each_other_whatever_was_said() -> None:
    lines = render(given.hostile(), "terminal").splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("HOST"))
    column = lines[begin].index("STATE")
    rows = lines[begin + 1 : begin + 1 + len(given.HOSTILE_TEXTS)]
    assert {line[column:] for line in rows} == {"ok"}
    assert all(line.isprintable() for line in lines)
