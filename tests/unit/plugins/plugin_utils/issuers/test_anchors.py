# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import parse_anchors, refuse_empty, select
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, to_pem

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.timezone.utc)
DAY = dt.timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(
    name: str, *, ca: bool | None = True, ends: dt.timedelta = DAY, cert_sign: bool | None = None
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder(subject, subject, KEY.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - 10 * DAY)
        .not_valid_after(NOW + ends)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if cert_sign is not None:
        usage = x509.KeyUsage(True, False, False, False, False, cert_sign, False, False, False)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(KEY, hashes.SHA256())


ROOT = certificate("Root")
OLD = certificate("Old root", ends=-DAY)
SECOND = certificate("Alpha root", cert_sign=True)


def test_each_anchor_once_and_in_one_order_whatever_the_order_of_the_sources() -> None:
    chosen = select({"b": [ROOT], "a": [ROOT, SECOND]}, NOW)
    assert [(anchor.source, anchor.certificate) for anchor in chosen.anchors] == [("a", SECOND), ("a", ROOT)]
    assert chosen == select({"a": [SECOND, ROOT], "b": [ROOT]}, NOW)


def test_two_anchors_of_one_issuer_have_two_file_names() -> None:
    first, second = select({"my CA/../x": [ROOT, SECOND]}, NOW).anchors
    assert first.name == f"my-CA-x-{fingerprint(SECOND)[:16]}"
    assert second.name == f"my-CA-x-{fingerprint(ROOT)[:16]}"


def test_the_expired_are_set_aside() -> None:
    chosen = select({"a": [OLD, ROOT]}, NOW)
    assert [anchor.certificate for anchor in chosen.anchors] == [ROOT]
    assert [anchor.certificate for anchor in chosen.expired] == [OLD]


def test_the_request_says_who_and_until_when() -> None:
    (anchor,) = select({"internal": [ROOT]}, NOW).anchors
    assert anchor.as_request() == {
        "name": f"internal-{fingerprint(ROOT)[:16]}",
        "comment": "# CN=Root, expires 2026-11-24T00:00:00Z",
        "pem": to_pem(ROOT),
    }


def test_a_subject_cannot_begin_a_line_of_its_own() -> None:
    (anchor,) = select({"a": [certificate("x\n-----BEGIN CERTIFICATE-----")]}, NOW).anchors
    assert "\n" not in anchor.comment


@pytest.mark.parametrize(
    "wrong",
    [certificate("Leaf", ca=False), certificate("No constraints", ca=None), certificate("No sign", cert_sign=False)],
    ids=["leaf", "no constraints", "no keyCertSign"],
)
def test_what_is_no_ca_is_refused_by_name(wrong: x509.Certificate) -> None:
    with pytest.raises(CertificateError, match=r"anchor 'corp': 'CN=.*' is not a CA certificate"):
        select({"internal": [ROOT], "corp": [wrong]}, NOW)


@pytest.mark.parametrize("raw", [{"corp": to_pem(ROOT) + to_pem(SECOND)}, {"corp": "text\n" + to_pem(ROOT)}])
def test_a_text_may_hold_several_certificates(raw: dict[str, str]) -> None:
    assert len(parse_anchors(raw)["corp"]) == raw["corp"].count("BEGIN")


def test_a_list_is_named_by_place() -> None:
    assert list(parse_anchors([to_pem(ROOT), to_pem(SECOND)])) == ["1", "2"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"corp": to_pem(ROOT)[:-40]}, "anchor 'corp': not a complete PEM"),
        ({"corp": to_pem(ROOT) + to_pem(SECOND)[:200]}, "anchor 'corp': not a complete PEM"),
        ({"corp": ""}, "anchor 'corp': not a complete PEM"),
        (["-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----"], "anchor '1': a PEM certificate cannot be"),
        ({"corp": "-----BEGIN PRIVATE KEY-----\n"}, "anchor 'corp' has a private key in it"),
        ({"corp": 3}, "anchor 'corp' must be a PEM text"),
        ("text", "anchors must be"),
    ],
)
def test_bad_texts_are_refused_by_name(raw: object, words: str) -> None:
    with pytest.raises(TlsError, match=words):
        parse_anchors(raw)
    assert issubclass(SpecError, TlsError) and issubclass(CertificateError, TlsError)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"internal": []}, r"no trust anchor to install \(asked: internal\).*Create the CA first"),
        ({"internal": [OLD]}, r"every trust anchor has expired \(CN=Old root\)"),
    ],
)
def test_an_empty_bundle_is_refused(sources: dict[str, list[x509.Certificate]], words: str) -> None:
    with pytest.raises(TlsError, match=words) as caught:
        refuse_empty(select(sources, NOW), list(sources))
    assert str(caught.value)
    refuse_empty(select({"internal": [ROOT, OLD]}, NOW), ["internal"])
