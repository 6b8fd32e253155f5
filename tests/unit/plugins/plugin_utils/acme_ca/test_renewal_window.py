# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_window import (
    Renewal,
    ari_id,
    latest,
    moment_in,
    next_request,
    parse_moment,
    parse_window,
)
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_request

# RFC 9773, appendix A.
RFC_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
"""


def test_the_name_of_a_certificate() -> None:
    leaf = x509.load_pem_x509_certificate(RFC_CERTIFICATE.encode())
    assert ari_id(leaf) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


def test_a_certificate_that_names_no_issuer_has_none() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(5).not_valid_before(NOW).not_valid_after(NOW + DAY)
    from cryptography.hazmat.primitives import hashes

    assert ari_id(builder.sign(key, hashes.SHA256())) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01T00:00:10.999Z", 10),
        ("1970-01-01t01:00:10+01:00", 10),
        ("1969-12-31T23:00:10-01:00", 10),
        ("2026-11-23T10:00:00Z", int(NOW.timestamp())),
    ],
)
def test_moments(text: str, seconds: int) -> None:
    assert parse_moment(text) == seconds


@pytest.mark.parametrize("text", ["", "2026-11-23", "2026-11-23T10:00:00", "tomorrow", None, 5, "2026-13-01T00:00:00Z"])
def test_what_is_no_moment(text: object) -> None:
    with pytest.raises(ValueError):
        parse_moment(text)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"suggestedWindow": []},
        {"suggestedWindow": {"start": "2026-01-01T00:00:00Z"}},
        {"suggestedWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}},
    ],
)
def test_what_is_no_window(document: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        parse_window(document)


def test_the_moment_is_in_the_window_always_the_same_and_spread() -> None:
    window = (1000, 2000)
    moments = [moment_in(window, f"certificate-{number}") for number in range(500)]
    assert moments == [moment_in(window, f"certificate-{number}") for number in range(500)]
    assert min(moments) >= 1000 and max(moments) <= 2000
    assert len({moment // 100 for moment in moments}) >= 10
    assert moment_in((1000, 2001), "certificate-1") != moment_in(window, "certificate-1")
    assert moment_in((5, 6), "x") in (5, 6)


@pytest.mark.parametrize(("said", "wait"), [(None, 21600), (0.0, 60), (100.0, 100), (1e9, 86400)])
def test_when_to_ask_again(said: float | None, wait: int) -> None:
    assert next_request(1000, said) == 1000 + wait


def test_the_last_twentieth(tmp_path: object) -> None:
    (answer,) = make_issuer(tmp_path).issue([make_request()], NOW)  # type: ignore[arg-type]
    leaf = answer.chain[0]  # type: ignore[union-attr]
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert leaf.not_valid_after_utc - latest(leaf) == life / 20


def test_kept_and_read_back() -> None:
    for renewal in (Renewal(5), Renewal(5, 6, 7, 8, 9, True)):
        assert Renewal.from_json(renewal.as_json()) == renewal
    for broken in ({}, {"not_after": "x"}, {**Renewal(5).as_json(), "start": "x"}, [], None):
        with pytest.raises((TypeError, ValueError, KeyError)):
            Renewal.from_json(broken)  # type: ignore[arg-type]
