# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health documents for tests of reports: the sample, one of a hostile world, and one as large as is asked for."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import json
from typing import Any

from tools import paths

SAMPLE_FILE = paths.ROOT / "tests" / "unit" / "fixtures" / "health.json"
NOW = dt.datetime(2026, 11, 24, 17, tzinfo=dt.timezone.utc)
# What breaks out of one form or another, where it is not escaped.
HOSTILE_TEXTS = (
    "<script>window.broken = 1</script>",
    '"><img src=x onerror="window.broken = 1">',
    "'</style></script><svg onload='window.broken = 1'>",
    "{{ 7 * 7 }}{% raw %}",
    '=HYPERLINK("http://127.0.0.1:9/","x")',
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "a;=1+1",
    " =1+1",
    "line\nbreak\r\nBEGIN:VEVENT",
    "]]>&amp;<!--",
    'quote" back\\slash',
    "nul\0 bell\x07 escape\x1b[31m",
    "\u202edirection \u2028separator \ufffe \udcff",
    "semi;colon,comma\\n",
    "x" * 300,
    "ünï ☃ 😀" * 20,
)


def sample() -> dict[str, Any]:
    """The documented sample."""
    return json.loads(SAMPLE_FILE.read_text(encoding="utf-8"))


def moment(days: float) -> str:
    """So many days from the sample's moment."""
    return (NOW + dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def certificate(**changes: Any) -> dict[str, Any]:
    """A managed certificate that is well."""
    made = copy.deepcopy(sample()["certificates"][1])
    made.update(changes)
    if "fingerprint_sha256" not in changes:
        made["fingerprint_sha256"] = hashlib.sha256(
            json.dumps([made["host"], made["name"], made["path"]]).encode()
        ).hexdigest()
        for one in made["served"] if "served" not in changes else ():
            one["fingerprint_sha256"] = made["fingerprint_sha256"]
    return made


def finding(**changes: Any) -> dict[str, Any]:
    """A finding about ``www`` of web1."""
    return {**copy.deepcopy(sample()["findings"][4]), "host": "web1", **changes}


def document(certificates: list[dict[str, Any]], findings: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A document about these."""
    names = dict.fromkeys(each["host"] for each in certificates)
    hosts = [{"host": each, "reachable": True, "certificates": 1, "severity": "ok"} for each in names]
    return {
        **sample(),
        "hosts": hosts,
        "certificates": certificates,
        "findings": findings,
        "authorities": [],
        "rings": [],
        **changes,
    }


def hostile() -> dict[str, Any]:
    """Every text that a certificate, host or server says of itself tries something."""
    certificates, findings = [], []
    for index, text in enumerate(HOSTILE_TEXTS):
        # Half of them have no name of ours, so that theirs stands in its place.
        told = {
            "subject": text,
            "common_name": text,
            "dns_names": [text],
            "ip_addresses": [text],
            "issuer_subject": text,
        }
        served = [{"endpoint": text, "server_name": text, "fingerprint_sha256": None, "protocol": text, "error": text}]
        name = None if index % 2 else text
        certificates.append(certificate(host=f"web{index % 3}", name=name, path=f"/etc/{text}", served=served, **told))
        findings.append(
            finding(
                host=f"web{index % 3}", subject=text, message=text, remedy=text, endpoint=text, path=text, kind="file"
            )
        )
    rings = [{**sample()["rings"][0], "pool": text} for text in HOSTILE_TEXTS]
    authorities = [{**sample()["authorities"][2], "issuer": text, "subject": text} for text in HOSTILE_TEXTS]
    return document(certificates, findings, rings=rings, authorities=authorities)


def many(count: int) -> dict[str, Any]:
    """That many certificates on a tenth as many hosts, their ends spread over the year; one in fifty has expired."""
    certificates, findings = [], []
    for index in range(count):
        days = -3.0 if index % 50 == 49 else 20 + (index * 37) % 330
        bad = days < 0
        made = certificate(
            host=f"web{index // 10:04}",
            name=f"site-{index % 10}",
            common_name=f"site-{index}.example.com",
            dns_names=[f"site-{index}.example.com"],
            not_before=moment(days - 90),
            not_after=moment(days),
            state="expired" if bad else "ok",
            severity="critical" if bad else "ok",
        )
        certificates.append(made)
        if bad:
            print_ = made["fingerprint_sha256"]
            told = {
                "code": "expired",
                "message": f"expired on {made['not_after']}",
                "subject": made["name"],
                "path": None,
            }
            findings.append(finding(host=made["host"], endpoint=None, fingerprint_sha256=print_, **told))
    return document(certificates, findings)
