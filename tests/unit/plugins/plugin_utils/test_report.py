# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.durations import parse_renew_before
from ansible_collections.fleet.tls.plugins.plugin_utils.report import COLUMNS, issuer_of, rows, table

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.timezone.utc)
OURS, OTHER = "ab" * 32, "cd" * 32


def entry(**changes: Any) -> dict[str, Any]:
    """A certificate as ``fleet.tls.certificates`` returns it when all is well."""
    return {
        "name": "www",
        "due": False,
        "reasons": [],
        "repairs": [],
        "issuer": "internal",
        "generation": 3,
        "installed": True,
        "settled": True,
        "served": [served(fingerprint=OURS, ours="live")],
        "error": None,
        "not_before": "2026-10-31T00:00:00Z",
        "not_after": "2027-01-29T00:00:00Z",
        "days_left": 67.0,
        "fingerprint_sha256": OURS,
        **changes,
    }


def served(**changes: Any) -> dict[str, Any]:
    return {
        "endpoint": "127.0.0.1:443",
        "server_name": "www.example.com",
        "fingerprint": None,
        "error": None,
        "explicit": True,
        "ours": None,
        **changes,
    }


def reason(code: str) -> dict[str, str]:
    return {"code": code, "detail": f"about {code}"}


ABSENT = {"fingerprint_sha256": None, "not_after": None, "not_before": None, "days_left": None, "installed": False}
EXPIRED = {"not_after": "2026-11-22T00:00:00Z", "days_left": -1.0}
SOON = {"not_after": "2026-12-01T00:00:00Z", "days_left": 8.0}
ASTRAY = {"served": [served(fingerprint=OTHER, ours="older")]}
REFUSED = {"served": [served(error="connection refused")]}

VERDICTS = [
    # what differs from a good entry → verdict, why
    ({}, "ok", None),
    ({"served": []}, "ok", None),
    ({"reasons": [reason("names_changed")], "due": True}, "due", "names_changed"),
    ({"reasons": [reason("expiring"), reason("issuer_changed")], "due": True}, "due", "expiring, issuer_changed"),
    ({"repairs": [reason("drift"), reason("drift")]}, "due", "drift"),
    (SOON, "expiring", None),
    ({**SOON, "reasons": [reason("expiring")]}, "expiring", None),
    (EXPIRED, "expired", None),
    ({**EXPIRED, **ASTRAY, "reasons": [reason("expired")]}, "expired", None),
    (ASTRAY, "not served", "127.0.0.1:443: another certificate, was a reload forgotten?"),
    ({**ASTRAY, **SOON}, "not served", "127.0.0.1:443: another certificate, was a reload forgotten?"),
    (REFUSED, "not served", "127.0.0.1:443: connection refused"),
    ({**REFUSED, "repairs": [reason("not_served")]}, "not served", "127.0.0.1:443: connection refused"),
    # A preset's endpoint that has nothing of ours is somebody else's.
    ({"served": [served(fingerprint=OTHER, explicit=False)]}, "ok", None),
    ({"served": [served(error="connection refused", explicit=False)]}, "ok", None),
    (
        {"served": [served(fingerprint=OTHER, explicit=False, ours="older")]},
        "not served",
        "127.0.0.1:443: another certificate, was a reload forgotten?",
    ),
    ({"reasons": [reason("chain_untrusted")], "due": True}, "untrusted", "about chain_untrusted"),
    ({**ABSENT, "served": [], "reasons": [reason("missing")], "due": True}, "missing", "about missing"),
    ({**ABSENT, **REFUSED, "reasons": [reason("missing")]}, "missing", "about missing"),
    ({**ABSENT, "reasons": [reason("damaged")]}, "damaged", "about damaged"),
    ({"reasons": [reason("key_missing")]}, "damaged", "about key_missing"),
    ({"reasons": [reason("expiring"), reason("key_mismatch")]}, "damaged", "about key_mismatch"),
    ({"reasons": [reason("chain_broken")]}, "damaged", "about chain_broken"),
    ({"error": {"code": "x", "message": "no openssl", "remedy": None}}, "failed", "no openssl"),
]


@pytest.mark.parametrize(("changes", "verdict", "why"), VERDICTS)
def test_verdicts(changes: dict[str, Any], verdict: str, why: str | None) -> None:
    (row,) = rows({"web1": {"certificates": [entry(**changes)]}}, parse_renew_before("14d"), NOW)
    assert (row["verdict"], row["why"]) == (verdict, why)
    assert row["ok"] is (verdict in ("ok", "due"))


def test_text() -> None:
    looks = {"web1": {"certificates": [entry(), entry(**REFUSED)]}, "web2": {"unreachable": True, "msg": "no route"}}
    assert [row["text"] for row in rows(looks, parse_renew_before("14d"), NOW)] == [
        "www: ok",
        "www: not served: 127.0.0.1:443: connection refused",
        "unreachable: no route",
    ]


def test_threshold() -> None:
    looks = {"web1": {"certificates": [entry()]}}
    verdicts = [rows(looks, parse_renew_before(text), NOW)[0]["verdict"] for text in ("66d", "67d", "50%", "80%")]
    assert verdicts == ["ok", "expiring", "ok", "expiring"]


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        ({"unreachable": True, "msg": "ssh: no route"}, [("unreachable", "ssh: no route")]),
        ({"failed": True, "msg": "issuer: 'x' is unknown"}, [("failed", "issuer: 'x' is unknown")]),
        ({"failed": True, "msg": "wrong", "certificates": []}, [("failed", "wrong")]),
        ({"failed": True, "msg": "wrong", "certificates": [entry()]}, [("ok", None), ("failed", "wrong")]),
        (
            {"failed": True, "msg": "all of it", "certificates": [entry(error={"message": "this one"}), entry()]},
            [("failed", "this one"), ("ok", None)],
        ),
        ({}, [("failed", "it was not looked at")]),
        (None, [("failed", "it was not looked at")]),
        ({"certificates": []}, []),
        ({"skipped": True, "changed": False}, []),
    ],
)
def test_hosts(look: Any, expected: list[tuple[str, str | None]]) -> None:
    found = rows({"web1": look}, parse_renew_before("14d"), NOW)
    assert [(row["verdict"], row["why"]) for row in found] == expected
    assert all(row["host"] == "web1" for row in found)


def test_table() -> None:
    looks = {
        "web1": {"certificates": [entry(), entry(name="a-longer-name", **ASTRAY)]},
        "web2": {"certificates": [entry(**ABSENT, served=[], issuer=None, reasons=[reason("missing")])]},
        "web3": {"unreachable": True, "msg": "ssh:\r\n\x1b[2Jno route" + "!" * 80},
    }
    assert table(rows(looks, parse_renew_before("14d"), NOW)) == [
        "HOST  CERTIFICATE    ISSUER    DAYS LEFT  NOT AFTER             DISK      SERVED    VERDICT",
        "web1  www            internal       67.0  2027-01-29T00:00:00Z  abababab  abababab  ok",
        "web1  a-longer-name  internal       67.0  2027-01-29T00:00:00Z  abababab  cdcdcdcd  not served: 127.0.0.1:443: another "
        "certificate, was a reload forgotten?",
        "web2  www            -                 -  -                     -         -         missing: about missing",
        "web3  -              -                 -  -                     -         -         unreachable: ssh:   [2Jno route"
        + "!" * 41
        + "…",
    ]


def test_table_of_nothing_and_of_strangers() -> None:
    assert table([]) == ["  ".join(COLUMNS.values())]
    assert table([{"host": "x", "days_left": "3"}])[1].split() == ["x", "-", "-", "3.0", "-", "-", "-", "-"]


def test_different_endpoints_are_all_shown() -> None:
    looks = {
        "web1": {
            "certificates": [entry(served=[served(fingerprint=OURS), served(fingerprint=OTHER), served(error="x")])]
        }
    }
    (row,) = rows(looks, parse_renew_before("14d"), NOW)
    assert row["served"] == "abababab, cdcdcdcd, error"


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
