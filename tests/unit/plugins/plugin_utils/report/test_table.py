# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.report.table import COLUMNS, issuer_of, rows, table
from tools import paths

SAMPLE = json.loads((paths.ROOT / "tests" / "unit" / "fixtures" / "health.json").read_text())


def test_a_row_a_certificate_and_one_for_each_other_finding() -> None:
    found = rows(SAMPLE)
    assert [(row["host"], row["certificate"], row["verdict"]) for row in found] == [
        ("db1", None, "unreachable"),
        ("mail1", "mail", "expired"),
        ("web1", "www", "ok"),
        ("web1", "/etc/nginx/old/intranet.pem", "expiring"),
        ("web1", "/etc/nginx/old/intranet.key", "key exposed"),
        ("web2", "www", "not served"),
        ("web2", "api", "missing"),
        ("web2", "web2:8443", "unmanaged"),
        (None, "internal", "crl expiring"),
        (None, "api", "ring old"),
    ]
    assert set(found[0]) == {*COLUMNS, "why"}


def test_table() -> None:
    assert table(rows(SAMPLE))[:3] == [
        "HOST   CERTIFICATE                  ISSUER    DAYS LEFT  NOT AFTER             DISK      SERVED    VERDICT",
        "db1    -                            -                 -  -                     -         -         unreachable: the host cannot be "
        "reached: Connection refused",
        "mail1  mail                         internal      -10.7  2026-11-14T00:00:00Z  cccccccc  cccccccc  expired: expired on "
        "2026-11-14T00:00:00Z, 10 days ago",
    ]
    lines = {line.split()[1]: line for line in table(rows(SAMPLE))}
    assert lines["www"].split()[5:7] == ["bbbbbbbb", "eeeeeeee"]
    assert lines["web2:8443"].split()[5:7] == ["-", "ffffffff"]


def test_what_was_said_elsewhere_is_one_line() -> None:
    document = copy.deepcopy(SAMPLE)
    document["findings"][0]["message"] = "ssh:\r\n\x1b[2Jno route" + "!" * 80
    line = table(rows(document))[1]
    assert line.endswith("unreachable: ssh:   [2Jno route" + "!" * 41 + "…") and line.isprintable()


def test_table_of_nothing_and_of_strangers() -> None:
    assert table([]) == ["  ".join(COLUMNS.values())]
    assert table([{"host": "x", "days_left": "3"}])[1].split() == ["x", "-", "-", "3.0", "-", "-", "-", "-"]


def test_different_endpoints_are_all_shown() -> None:
    document = copy.deepcopy(SAMPLE)
    (certificate,) = [each for each in document["certificates"] if each["name"] == "mail"]
    certificate["served"] += [{**certificate["served"][0], "fingerprint_sha256": each} for each in ("ab" * 32, None)]
    (row,) = [row for row in rows(document) if row["certificate"] == "mail"]
    assert row["served"] == "cccccccc, abababab, error"


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ({"issuer": "internal", "fallback_for": None}, "internal"),
        ({"issuer": "internal", "fallback_for": "public"}, "internal (for public)"),
        ({"issuer": None, "fallback_for": None}, None),
        ({"issuer": "internal"}, "internal"),
    ],
)
def test_a_certificate_of_the_second_issuer_is_shown_as_such(entry: dict[str, Any], shown: str | None) -> None:
    assert issuer_of(entry) == shown
