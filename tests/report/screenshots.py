# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the page in docs/images/, of a fleet that nobody has: python -m report.screenshots (in tests/, with the environment "report")."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0:1] = [str(TESTS), str(TESTS.parent / ".dev" / "collections")]

from PIL import Image  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from ansible_collections.fleet.tls.tests.unit.support import health_documents as given  # noqa: E402
from report.pages import SCHEMES, Opener  # noqa: E402
from tools import packages, paths  # noqa: E402

IMAGES = paths.ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 1240}

# host, certificate, DNS name, issuer, lifetime, days left, endpoint's port
CERTIFICATES = (
    ("edge1", "www", "www.example.com", "public", 90, 71, 443),
    ("edge1", "shop", "shop.example.com", "public", 90, 71, 443),
    ("edge2", "www", "www.example.com", "public", 90, 71, 443),
    ("edge2", "shop", "shop.example.com", "public", 90, 9, 443),
    ("edge3", "www", "www.example.com", "public", 90, 64, 443),
    ("api1", "api", "api.example.com", "internal", 180, 122, 8443),
    ("api2", "api", "api.example.com", "internal", 180, 122, 8443),
    ("api3", "api", "api.example.com", "internal", 180, 129, 8443),
    ("mail1", "smtp", "mx1.example.com", "internal", 180, 88, 25),
    ("mail1", "imap", "imap.example.com", "internal", 180, 88, 993),
    ("mail2", "smtp", "mx2.example.com", "internal", 180, -4, 25),
    ("db1", "postgresql", "db1.example.com", "internal", 365, 219, 5432),
    ("db2", "postgresql", "db2.example.com", "internal", 365, 219, 5432),
    ("db3", "postgresql", "db3.example.com", "internal", 365, 233, 5432),
    ("ldap1", "ldaps", "ldap1.example.com", "internal", 365, 301, 636),
    ("ldap2", "ldaps", "ldap2.example.com", "internal", 365, 301, 636),
    ("vpn1", "gateway", "vpn.example.com", "internal", 365, 156, 443),
    ("git1", "git", "git.example.com", "public", 90, 44, 443),
    ("ci1", "ci", "ci.example.com", "internal", 180, 163, 443),
    ("mon1", "grafana", "grafana.example.com", "internal", 180, 37, 443),
    ("wiki1", "wiki", "wiki.example.com", "internal", 365, 267, 443),
    ("backup1", "rest", "backup.example.com", "internal", 365, 330, 8000),
    ("backup1", "agent", "agent.backup.example.com", "internal", 365, 341, 8001),
)
# place in CERTIFICATES, code, severity, what the next deploy does, message, remedy
FINDINGS = (
    (10, "expired", "critical", "renew", "expired on {end}, 4 days ago", "run fleet.tls.deploy -l mail2"),
    (
        5, "not_served", "critical", "repair",
        "api1:8443 serves another certificate than the one on disk: was a reload forgotten?", "run fleet.tls.deploy -l api1",
    ),
    (3, "expiring", "warning", "renew", "expires on {end}, in 9 days", "run fleet.tls.deploy -l edge2"),
    (16, "weak", "warning", "nothing", "vpn1:443 still speaks TLSv1.1", "set tls_profile to intermediate, or switch it off"),
    (19, "due", "notice", "renew", "a third of its life is left", "run fleet.tls.deploy -l mon1"),
)  # fmt: skip


def showcase() -> dict[str, Any]:
    """A health document."""
    certificates = []
    for host, name, dns_name, issuer, lifetime, left, port in CERTIFICATES:
        changes = {
            "host": host,
            "name": name,
            "path": f"/etc/fleet-tls/live/{name}/fullchain.pem",
            "subject": f"CN={dns_name}",
            "common_name": dns_name,
            "dns_names": [dns_name],
            "issuer": issuer,
            "issuer_subject": "CN=Example issuing CA" if issuer == "internal" else "CN=E7,O=Public CA,C=US",
            "not_before": given.moment(left - lifetime),
            "not_after": given.moment(left),
        }
        made = given.certificate(**changes)
        made["served"][0].update(endpoint=f"{host}:{port}", server_name=dns_name)
        certificates.append(made)
    findings = []
    for place, code, severity, next_run, message, remedy in FINDINGS:
        about = certificates[place]
        about.update(state=code, severity=severity, next_run=next_run)
        facts = {"host": about["host"], "subject": about["name"], "path": about["path"], "endpoint": None}
        if code == "not_served":
            about["served"][0]["fingerprint_sha256"] = "ef" * 32
            facts["endpoint"] = about["served"][0]["endpoint"]
        told = {"code": code, "severity": severity, "message": message.format(end=about["not_after"]), "remedy": remedy}
        findings.append(given.finding(fingerprint_sha256=about["fingerprint_sha256"], **told, **facts))
    sample = given.sample()
    made = given.document(certificates, findings, rings=sample["rings"][:1], authorities=[sample["authorities"][1]])
    for host in made["hosts"]:
        own = [each for each in certificates if each["host"] == host["host"]]
        worst = max((each["severity"] for each in own), key=("ok", "notice", "warning", "critical").index)
        host.update(certificates=len(own), severity=worst)
    return made


def main() -> None:
    """Both schemes."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as library, tempfile.TemporaryDirectory() as folder:
        browser = library.chromium.launch(executable_path=packages.find("chromium"), args=["--no-sandbox"])
        opener = Opener(browser, Path(folder) / "health.html")
        for scheme in SCHEMES:
            shot = opener(showcase(), color_scheme=scheme, viewport=SIZE).page.screenshot()
            Image.open(io.BytesIO(shot)).convert("RGB").save(IMAGES / f"report-{scheme}.png", optimize=True)
        opener.close()
        browser.close()


if __name__ == "__main__":
    main()
