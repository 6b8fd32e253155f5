# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that are well-formed DER and still not what a reader counts on: none may cost the probe, the check or a report."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ssl
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
from ansible_collections.fleet.tls.plugins.plugin_utils.health.certificate_files import read_files
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


# A subject alternative name with an IP address of three bytes: clients go by it, so nobody may guess at it.
BAD_NAMES = encode(
    EXTENSIONS,
    encode(
        SEQUENCE,
        encode(SEQUENCE, encode(OID, b"\x55\x1d\x11") + encode(OCTETS, bytes.fromhex("3005") + b"\x87\x03abc")),
    ),
)
# Each keeps cryptography from reading the certificate as a whole, or at all.
UNREADABLE_PARTS = {
    "bad-names": {"at_7": BAD_NAMES},
    "serial-number": {"at_1": encode(0x02, b"")},
    "odd-moment": {"at_4": encode(SEQUENCE, encode(0x17, b"2001010000Z") + encode(0x17, b"2101010000+0100"))},
    "version-4": {"at_0": encode(0xA0, encode(0x02, b"\3"))},
    "key-of-no-known-kind": {
        "at_6": encode(SEQUENCE, encode(SEQUENCE, encode(OID, b"\x2a\x03")) + encode(0x03, b"\0abc"))
    },
}
STRANGE = {
    "pss-without-parameters": {"at_2": PSS, "algorithm": PSS},
    "year-1": {"at_4": times("00010101000000Z", "99991231235959Z")},
    "year-999": {"at_4": times("09990101000000Z", "20270101000000Z")},
    "ends-before-it-begins": {"at_4": times("20300101000000Z", "20200101000000Z")},
    "unknown-feature": {"at_7": encode(EXTENSIONS, encode(SEQUENCE, FEATURE))},
}


def checked(pem: str) -> dict[str, Any]:
    """The health document of a host that serves it."""
    return document_with(Judge(None, NOW).entry(Endpoint(NAME, 443, NAME), {"chain": [pem], "error": None}))


def document_with(seen: dict[str, Any]) -> dict[str, Any]:
    """The health document of a host with an endpoint that showed this."""
    looks, probes = {"web": {"changed": False, "certificates": []}}, [{"web": {"endpoints": [seen]}}]
    return document_of(looks, {}, probes, {}, {}, {}, threshold=None, interval="1d", ring_age="7d", now=NOW)


@pytest.mark.parametrize("name", STRANGE)
def test_it_is_judged_and_reported(name: str) -> None:
    document = checked(changed(**STRANGE[name]))
    said = [finding["message"] for finding in document["findings"]]
    assert said and not [text for text in said if "cannot be judged" in text or "cannot be understood" in text]
    for form in report_formats.FORMATS:
        assert report_formats.render(document, form)


@pytest.mark.parametrize("name", UNREADABLE_PARTS)
def test_what_cannot_be_read_of_it_costs_it_no_dates(name: str) -> None:
    pem = changed(**{"at_4": times("20200101000000Z", "20210101000000Z"), **UNREADABLE_PARTS[name]})
    documents = [checked(pem), checked_file(pem)]
    for document in documents:
        (entry,) = document["certificates"]
        assert (entry["subject"], entry["issuer_subject"]) == (f"CN={NAME}", f"CN={NAME}")
        assert entry["not_after"] in ("2021-01-01T00:00:00Z", "2020-12-31T23:00:00Z") and entry["days_left"] < -2000
        assert entry["serial"] == (None if name == "serial-number" else "5")
        codes = {finding["code"]: finding for finding in document["findings"]}
        assert codes["expired"]["message"].startswith("expired on ")
        for form in report_formats.FORMATS:
            assert report_formats.render(document, form)
    wire, disk = ({each["code"] for each in document["findings"]} for document in documents)
    assert "failed" in wire and "unmanaged" in disk
    (said,) = [each for each in documents[1]["findings"] if "in part only" in each["message"]]
    assert "remove" not in said["remedy"]


def test_of_what_is_no_certificate_nothing_is_known() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    (said,) = checked_file(pem)["findings"]
    assert "could not be read" in said["message"] and said["remedy"].endswith("or remove it")
    assert {each["code"] for each in checked(pem)["findings"]} >= {"failed", "unmanaged"}


def checked_file(pem: str) -> dict[str, Any]:
    """The health document of a host that has it on disk."""
    der = ssl.PEM_cert_to_DER_cert(pem)
    name = hashlib.sha256(der).hexdigest()
    file = {
        "path": "/etc/x.pem", "links": [], "format": "pem", "size": 1, "owner": "root", "group": "root", "mode": "0644",
        "others": True, "managed": None, "certificates": [name], "keys": [], "error": None,
    }  # fmt: skip
    answer = {"files": [file], "certificates": {name: base64.b64encode(der).decode()}}
    looks = {"web": {"changed": False, "certificates": []}}
    files = {"web": {"files": read_files(answer, NOW)}}
    return document_of(looks, files, [], {}, {}, {}, threshold=None, interval="1d", ring_age="7d", now=NOW)


def test_a_second_certificate_is_judged_and_hides_nothing() -> None:
    good, expired = changed(), changed(at_4=times("20200101000000Z", "20210101000000Z"))
    answer = {"chain": [good], "other_chain": [expired], "error": None}
    document = document_with(Judge(None, NOW).entry(Endpoint(NAME, 443, NAME), answer))
    first, second = sorted(document["certificates"], key=lambda each: -each["days_left"])
    assert (first["days_left"] > 0, second["state"], second["origin"]) == (True, "expired", "wire")
    assert [one["endpoint"] for one in second["served"]] == [f"{NAME}:443"]
    assert "not_served" not in {each["code"] for each in document["findings"]}


def test_what_nobody_foresaw_costs_its_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(*_arguments: Any) -> Any:
        raise KeyError(99)

    monkeypatch.setattr(health_join, "add_sight", surprise)
    document = checked(changed())
    (finding,) = document["findings"]
    assert (finding["code"], finding["host"]) == ("failed", "web") and "KeyError(99)" in finding["message"]
