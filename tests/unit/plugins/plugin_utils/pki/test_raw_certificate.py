# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import judge_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.raw_certificate import (
    extensions_of,
    has_curve_of_its_own,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import certificate_key_id, names_of, parse_pem_chain
from ansible_collections.fleet.tls.tests.unit.support.chains import HOST, NOW, authority, leaf

NONSENSE = b"\x04\x01"


def made(folder: Path, *arguments: str) -> tuple[x509.Certificate, str]:
    """A self-signed certificate of openssl's, and the digest of its key as openssl sees it."""
    command = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=x", "-keyout", "key.pem", "-out", "x.pem", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    public = ["openssl", "pkey", "-in", "key.pem", "-pubout", "-outform", "DER"]
    der = subprocess.run(public, cwd=folder, check=True, capture_output=True, timeout=60).stdout
    return parse_pem_chain((folder / "x.pem").read_text())[0], hashlib.sha256(der).hexdigest()


def test_an_odd_extension_that_nobody_goes_by_costs_nothing() -> None:
    odd = x509.UnrecognizedExtension(ExtensionOID.AUTHORITY_KEY_IDENTIFIER, NONSENSE)
    root, server = authority("r", "", odd), leaf("r", odd)
    with pytest.raises(ValueError):
        list(server.extensions)
    assert len(extensions_of(server)) == 3 and names_of(server).dns_names == (HOST,)
    assert judge_chain((server,), [root], now=NOW, names=(HOST,)).problems == ()


@pytest.mark.parametrize(
    "odd",
    [
        (x509.UnrecognizedExtension(ExtensionOID.AUTHORITY_KEY_IDENTIFIER, NONSENSE), True),
        (x509.UnrecognizedExtension(ExtensionOID.NAME_CONSTRAINTS, NONSENSE), False),
    ],
)
def test_one_that_clients_go_by_makes_them_refuse(odd: tuple[x509.ExtensionType, bool]) -> None:
    verdict = judge_chain((leaf("r"),), [authority("r", "", odd)], now=NOW)
    assert [problem.code for problem in verdict.problems] == ["unreadable"]


def test_the_key_of_an_rsa_pss_certificate_is_what_openssl_says(tmp_path: Path) -> None:
    certificate, digest = made(tmp_path, "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048")
    assert certificate_key_id(certificate) == digest


@pytest.mark.parametrize("form", ["named_curve", "explicit"])
def test_a_curve_of_its_own(form: str, tmp_path: Path) -> None:
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", f"ec_param_enc:{form}"]
    command = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=x", "-keyout", "key.pem", "-out", "x.pem", *options]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    certificate = x509.load_pem_x509_certificate((tmp_path / "x.pem").read_bytes())
    assert has_curve_of_its_own(certificate) is (form == "explicit")
