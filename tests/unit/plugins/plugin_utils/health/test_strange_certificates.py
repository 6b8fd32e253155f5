# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that are well-formed DER and still not what a reader counts on: none may cost the probe, the check or a report."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import Element, elements, encode, first
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.answers import Judge
from ansible_collections.fleet.tls.plugins.plugin_utils.health import join as health_join
from ansible_collections.fleet.tls.plugins.plugin_utils.health.task_results import document_of
from ansible_collections.fleet.tls.plugins.plugin_utils.report import formats as report_formats

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.timezone.utc)
NAME = "strange.example"
SEQUENCE, OCTETS, OID, TIME, EXTENSIONS = 0x30, 0x04, 0x06, 0x18, 0xA3
# RSASSA-PSS without its parameters, and a TLS feature that nobody has defined.
PSS = encode(SEQUENCE, encode(OID, bytes.fromhex("2a864886f70d01010a")))
FEATURE = encode(SEQUENCE, encode(OID, bytes.fromhex("2b06010505070118")) + encode(OCTETS, bytes.fromhex("3003020163")))


def ordinary() -> tuple[list[Element], Element, Element]:
    """The parts of a certificate: those of what is signed, the algorithm, the signature."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    key = rsa.generate_private_key(65537, 2048)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(NOW - dt.timedelta(1))
        .not_valid_after(NOW + dt.timedelta(60))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), False)
        .sign(key, hashes.SHA256())
    )
    signed, algorithm, signature = elements(first(made.public_bytes(serialization.Encoding.DER)).content)
    return list(elements(signed.content)), algorithm, signature


def certificate(parts: Iterable[bytes], algorithm: bytes, signature: bytes) -> str:
    """PEM of these parts."""
    der = encode(SEQUENCE, encode(SEQUENCE, b"".join(parts)) + algorithm + signature)
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


def changed(**places: bytes) -> str:
    """An ordinary certificate with some parts exchanged: ``at_2`` and the like, or ``algorithm``."""
    parts, algorithm, signature = ordinary()
    wholes = [places.get(f"at_{place}", part.whole) for place, part in enumerate(parts)]
    return certificate(wholes, places.get("algorithm", algorithm.whole), signature.whole)


def times(begin: str, end: str) -> bytes:
    """A validity."""
    return encode(SEQUENCE, encode(TIME, begin.encode()) + encode(TIME, end.encode()))


STRANGE = {
    "pss-without-parameters": {"at_2": PSS, "algorithm": PSS},
    "year-1": {"at_4": times("00010101000000Z", "99991231235959Z")},
    "year-999": {"at_4": times("09990101000000Z", "20270101000000Z")},
    "ends-before-it-begins": {"at_4": times("20300101000000Z", "20200101000000Z")},
    "unknown-feature": {"at_7": encode(EXTENSIONS, encode(SEQUENCE, FEATURE))},
}


def checked(pem: str) -> dict[str, Any]:
    """The health document of a host that serves it."""
    seen = Judge(None, NOW).entry(Endpoint(NAME, 443, NAME), {"chain": [pem], "error": None})
    looks, probes = {"web": {"changed": False, "certificates": []}}, [{"web": {"endpoints": [seen]}}]
    return document_of(looks, {}, probes, {}, {}, {}, threshold=None, interval="1d", ring_age="7d", now=NOW)


@pytest.mark.parametrize("name", STRANGE)
def test_it_is_judged_and_reported(name: str) -> None:
    document = checked(changed(**STRANGE[name]))
    said = [finding["message"] for finding in document["findings"]]
    assert said and not [text for text in said if "cannot be judged" in text or "cannot be understood" in text]
    for form in report_formats.FORMATS:
        assert report_formats.render(document, form)


def test_what_nobody_foresaw_costs_its_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(*_arguments: Any) -> Any:
        raise KeyError(99)

    monkeypatch.setattr(health_join, "add_sight", surprise)
    document = checked(changed())
    (finding,) = document["findings"]
    assert (finding["code"], finding["host"]) == ("failed", "web") and "KeyError(99)" in finding["message"]
