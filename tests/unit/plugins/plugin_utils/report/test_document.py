# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.report import document as documents
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given


def test_the_sample_comes_through_as_it_is() -> None:
    assert documents.parse_document(given.sample()) == given.sample()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "fleet.tls/health/2"},
        {"generated": "yesterday"},
        {"certificates": {}},
        {"certificates": ["www"]},
        {"certificates": [given.certificate(severity="awful")]},
        {"certificates": [given.certificate(not_after="soon")]},
        {"certificates": [given.certificate(host=["web1"])]},
        {"certificates": [given.certificate(served=["web1:443"])]},
        {"rings": [{"pool": "web", "severity": "ok", "generation": "7"}]},
    ],
)
def test_what_is_no_health_document_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        documents.parse_document({**given.sample(), **change})


@pytest.mark.parametrize("raw", [None, [], "text", {}])
def test_anything_else_is_refused_with_a_remedy(raw: Any) -> None:
    with pytest.raises(SpecError, match=r"not a document of the schema .*Give fleet_tls_health"):
        documents.parse_document(raw)


def test_texts_are_one_printable_line_each() -> None:
    raw = given.certificate(common_name="a\x1b[31m\nb\u202ec\udcff", path="x" * 5000)
    parsed = documents.parse_document(given.document([raw], []))["certificates"][0]
    assert parsed["common_name"] == r"a\x1b[31m\nb\u202ec\udcff"
    assert len(parsed["path"]) == documents.LONGEST_TEXT + 1


def test_days_are_counted_from_the_moment_asked_for() -> None:
    parsed = documents.parse_document(given.sample())
    later = documents.as_of(parsed, given.NOW + dt.timedelta(days=10))
    assert later["generated"] == "2026-12-04T17:00:00Z"
    assert [each["days_left"] for each in later["certificates"]] == [-20.7, 49.0, -3.7, 49.0, None, 25.3]
    assert [each["age_days"] for each in later["rings"]] == [10.5, 64.5]
    assert documents.as_of(later, given.NOW) == parsed


def test_each_finding_is_of_the_certificate_it_names() -> None:
    parsed = documents.parse_document(given.sample())
    found = documents.sort_findings(parsed)
    told = {
        parsed["certificates"][index]["path"]: [each["code"] for each in some]
        for index, some in found.of_certificates.items()
    }
    assert [told["/etc/nginx/old/intranet.pem"], told[None]] == [["expiring", "weak", "unmanaged"], ["unmanaged"]]
    assert [each["code"] for each in found.others] == ["unreachable", "key_exposed", "crl_expiring", "ring_old"]
    assert sum(map(len, found.of_certificates.values())) + len(found.others) == len(parsed["findings"])


def test_of_two_hosts_with_one_certificate_the_finding_is_on_its_own() -> None:
    pair = [given.certificate(host=host, fingerprint_sha256="ab" * 32) for host in ("web1", "web2")]
    parsed = documents.parse_document(given.document(pair, [given.finding(host="web2", fingerprint_sha256="ab" * 32)]))
    assert [len(each) for each in documents.sort_findings(parsed).of_certificates.values()] == [0, 1]
