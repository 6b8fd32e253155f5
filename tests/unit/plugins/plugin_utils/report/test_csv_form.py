# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.report.csv_form import COLUMNS, cell
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given


def table(document: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(document, "csv"), newline=""), strict=True))


def test_a_row_a_certificate_authority_and_ring_and_for_what_else_was_found() -> None:
    rows = table(given.sample())
    kinds = [row["kind"] for row in rows]
    assert kinds == ["certificate"] * 6 + [
        "root",
        "issuing",
        "crl",
        "crl",
        "ring",
        "ring",
        "host",
        "file",
        "crl",
        "ring",
    ]
    assert rows[0]["generated"] == "2026-11-24T17:00:00Z"
    assert (rows[0]["host"], rows[0]["days_left"], rows[0]["served"]) == ("mail1", "-10.7", "yes")
    assert rows[2]["findings"].startswith(
        "expiring: expires on 2026-12-01T00:00:00Z, in 6 days | weak: the key is rsa-1024"
    )
    assert "let tls_certificates manage it, or remove it" in rows[2]["remedies"]


def test_lines_end_as_the_format_says() -> None:
    text = render(given.sample(), "csv")
    assert text.count("\r\n") == text.count("\n") == 17
    assert render(given.document([], []), "csv") == ",".join(f'"{each}"' for each in COLUMNS) + "\r\n"


def test_no_cell_is_a_formula_whatever_it_is_separated_by() -> None:
    for row in table(given.hostile()):
        for column, value in row.items():
            if column not in ("days_left",):
                for separator in ";,|\t":
                    for piece in value.split(separator):
                        assert not piece.lstrip().startswith(("=", "+", "-", "@")), (column, value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("-2", "'-2"),
        (" @x", " '@x"),
        ("＝1", "'＝1"),
        ("a;=1", "a;'=1"),
        ("*.example.com", "*.example.com"),
        ("CN=www,O=A-B", "CN=www,O=A-B"),
        (-10.7, -10.7),
        (None, ""),
        (["a", "b"], "a b"),
    ],
)
def test_cells(value: Any, shown: Any) -> None:
    assert cell(value) == shown
