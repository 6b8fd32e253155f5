# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import render
from ansible_collections.fleet.tls.plugins.plugin_utils.report.prometheus import decimal, name_parts
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given

LINE = re.compile(r"([a-z0-9_]+)(?:\{(.*)\})? (-?\d+)")
LABEL = re.compile(r'([a-zA-Z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


def metrics(document: dict[str, Any]) -> list[tuple[str, dict[str, str], int]]:
    """Name, labels and value of every series; fails for what the format does not allow."""
    found = []
    for line in render(document, "prometheus").splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            labels = dict(LABEL.findall(match[2] or ""))
            assert ",".join(f'{key}="{value}"' for key, value in labels.items()) == (match[2] or "")
            found.append((match[1], labels, int(match[3])))
    return found


def value(document: dict[str, Any], metric: str, **labels: str) -> list[int]:
    return [number for found, has, number in metrics(document) if found == metric and labels.items() <= has.items()]


def test_dashboards_of_x509_certificate_exporter_find_what_they_ask_for() -> None:
    sample = given.sample()
    assert value(sample, "x509_cert_not_after", subject_CN="www.example.com", host="web1") == [1800637200]
    assert value(sample, "x509_cert_not_before", subject_CN="www.example.com", host="web1") == [1792861200]
    assert value(
        sample, "x509_cert_expired", filepath="/etc/fleet-tls/live/mail/fullchain.pem", filename="fullchain.pem"
    ) == [1]
    # "Certificate File" of the dashboard's panel "Media".
    assert len(value(sample, "x509_cert_not_after", embedded_key="")) == 5
    assert value(sample, "x509_cert_not_after", issuer_CN="R11", issuer_O="Let's Encrypt", issuer_C="US")
    assert value(sample, "x509_cert_not_after", serial_number=str(0x2E75AAAAAAAAAAAA))
    assert value(sample, "x509_read_errors") == [1]
    assert value(sample, "x509_crl_next_update", issuer_CN="internal CA Issuing 2026-11") == [1795608000]


def test_what_only_we_know() -> None:
    sample = given.sample()
    assert value(sample, "fleet_tls_findings", code="unmanaged", severity="notice") == [2]
    assert value(sample, "fleet_tls_severity_findings", severity="critical") == [5]
    assert value(sample, "fleet_tls_certificate_severity", host="web2", name="www") == [3]
    assert value(sample, "fleet_tls_host_reachable", host="db1") == [0]
    assert value(sample, "fleet_tls_session_ticket_ring_created", pool="web") == [1795496400]
    assert value(sample, "fleet_tls_scan_timestamp_seconds") == [int(given.NOW.timestamp())]


def test_severities_without_findings_are_told_as_none() -> None:
    assert value(given.document([], []), "fleet_tls_severity_findings") == [0, 0, 0]


@pytest.mark.parametrize(
    "document", [given.sample(), given.hostile(), given.many(40)], ids=["sample", "hostile", "many"]
)
def test_no_series_stands_twice_and_all_can_be_read(document: dict[str, Any]) -> None:
    found = [(name, tuple(labels.items())) for name, labels, _value in metrics(document)]
    assert len(found) == len(set(found))


def test_one_certificate_in_one_place_twice_is_one_series() -> None:
    twice = given.document([given.certificate(), given.certificate()], [])
    assert len(value(twice, "x509_cert_not_after")) == 1


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("CN=www,O=Example", {"CN": "www", "O": "Example"}),
        (r"CN=a\,b\=c,OU=x+OU=y", {"CN": "a,b=c", "OU": "x"}),
        ("nonsense", {"NONSENSE": ""}),
        ("", {"": ""}),
    ],
)
def test_parts_of_a_name(name: str, parts: dict[str, str]) -> None:
    assert name_parts(name) == parts


@pytest.mark.parametrize(("serial", "number"), [("ff", "255"), ("0a:ff", "2815"), (None, ""), ("x", "")])
def test_serial_numbers(serial: str | None, number: str) -> None:
    assert decimal(serial) == number
