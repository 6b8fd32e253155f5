# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of certificates with findings on one host: what is compared with what must not be everything with everything."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.health.document import health
from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import Context, HostInput
from ansible_collections.fleet.tls.plugins.plugin_utils.report import formats, table

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.timezone.utc)
# Once this took 50 to 70 seconds, and before that it grew with the square of the number.
MANY, CPU_SECONDS = 10000, 40


def expired(number: int) -> dict[str, Any]:
    return {
        "subject": f"CN=x{number}", "issuer": "CN=i", "common_name": None, "dns_names": [f"x{number}.example.com"],
        "ip_addresses": [], "uris": [], "email_addresses": [], "usages": [], "not_before": "2025-01-01T00:00:00Z",
        "not_after": "2026-01-01T00:00:00Z", "days_left": -300.0, "serial": "1", "ca": False, "self_signed": False,
        "fingerprint_sha256": hashlib.sha256(str(number).encode()).hexdigest(), "key_algorithm": "ecdsa-p256",
        "signature_algorithm": "ecdsa-with-SHA256", "public_key_sha256": "0" * 64, "error": None,
    }  # fmt: skip


def file(number: int) -> dict[str, Any]:
    return {
        "path": f"/etc/x/{number}.pem", "format": "pem", "certificates": [expired(number)], "private_keys": [], "pairs": [],
        "mismatch": False, "managed": None, "error": None, "readable_by_others": False, "mode": "0644",
    }  # fmt: skip


def test_judged_tabled_and_written_in_every_form() -> None:
    files = {"files": [file(number) for number in range(MANY)]}
    begun = time.process_time()
    document = health(
        [HostInput("web", look={"certificates": []}, files=files)], {}, Context(now=NOW), threshold="14d", ring_age=1
    )
    rows = table.rows(document)
    assert len(rows) == MANY and {row["verdict"] for row in rows} == {"expired"}
    assert table.table(rows)
    for form in formats.FORMATS:
        assert formats.render(document, form)
    assert time.process_time() - begun < CPU_SECONDS
