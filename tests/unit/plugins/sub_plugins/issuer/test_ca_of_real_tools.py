# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CAs that easy-rsa, mkcert and minica (of Debian) really made, at the places that docs/guides/existing-ca.md names."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import make_issuer, make_request, make_spec
from tools import paths

EASY_RSA = "/usr/share/easy-rsa/easyrsa"
SECRET = "their own passphrase"
# Well after all that openssl makes here, however long it takes.
NOW = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=6)


def told_in_the_guide(tool: str, column: int, folder: Path) -> str:
    """A path that the guide's table names for a tool; the last one of its column."""
    guide = (paths.ROOT / "docs/guides/existing-ca.md").read_text()
    (row,) = [line for line in guide.splitlines() if line.startswith(f"| {tool} |")]
    return str(folder / re.findall(r"`([^` ]+)`", row.split("|")[column])[-1])


def run(*command: str, folder: Path, **environment: str) -> None:
    """One of the tools."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "HOME": str(folder), **environment}, capture_output=True, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def easy_rsa(folder: Path) -> dict[str, Any]:
    pki = folder / "pki"
    environment = {
        "EASYRSA_PKI": str(pki), "EASYRSA_BATCH": "1", "EASYRSA_PASSIN": f"pass:{SECRET}", "EASYRSA_PASSOUT": f"pass:{SECRET}",
        "EASYRSA_ALGO": "ec",
    }  # fmt: skip
    for command in (
        ("init-pki",), ("build-ca",), ("build-client-full", "listed", "nopass"), ("build-client-full", "noted", "nopass"),
        ("build-client-full", "good", "nopass"), ("revoke", "listed"), ("gen-crl",), ("revoke", "noted"),
    ):  # fmt: skip
        run(EASY_RSA, *command, folder=folder, **environment)
    where = {
        name: told_in_the_guide("easy-rsa", column, folder)
        for name, column in (("certificate", 2), ("key", 3), ("index", 5))
    }
    return {"root": {**where, "crl": str(pki / "crl.pem"), "passphrase": SECRET}}


def mkcert(folder: Path) -> dict[str, Any]:
    run("mkcert", "-cert-file", "leaf.pem", "-key-file", "leaf.key", "a.example.com", folder=folder, CAROOT=str(folder))
    return {"root": {"certificate": str(folder / "rootCA.pem"), "key": told_in_the_guide("mkcert", 3, folder)}}


def minica(folder: Path) -> dict[str, Any]:
    run("minica", "a.example.com", folder=folder)
    return {
        "root": {name: told_in_the_guide("minica", column, folder) for name, column in (("certificate", 2), ("key", 3))}
    }


@pytest.mark.parametrize(("tool", "tiers", "lists"), [(easy_rsa, 2, True), (mkcert, 1, False), (minica, 2, False)])
def test_a_ca_of_a_tool(tool: Callable[[Path], dict[str, Any]], tiers: int, lists: bool, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    issuer = make_issuer(tmp_path / "store", **tool(theirs))
    assert "adopted" in str(issuer.unprepared(NOW))
    issuer.prepare(NOW)
    assert issuer.unprepared(NOW) is None and issuer.waits_for(NOW) is None
    (issued,) = issuer.issue([make_request(make_spec(usages=["client_auth"]))], NOW)
    assert isinstance(issued, Issued) and len(issued.chain) == tiers
    bundle = "".join(map(to_pem, issuer.trust()))
    crls = "".join(map(crl_to_pem, issuer.crls(NOW))) if lists else ""
    assert verdict(tmp_path, issued.chain, bundle, crls, NOW) == "OK"
    if tool is easy_rsa:
        certificates = issued_by_easy_rsa(theirs / "pki")
        words = {name: verdict(tmp_path, (leaf,), bundle, crls, NOW) for name, leaf in certificates.items()}
        assert words["good"] == "OK" and "revoked" in words["listed"] and "revoked" in words["noted"]


def issued_by_easy_rsa(pki: Path) -> dict[str, x509.Certificate]:
    """What it has issued, by common names; what it has revoked lies elsewhere."""
    files = (*(pki / "issued").iterdir(), *(pki / "revoked/certs_by_serial").iterdir())
    certificates = [x509.load_pem_x509_certificate(path.read_bytes()) for path in files]
    return {each.subject.rfc4514_string().removeprefix("CN="): each for each in certificates}
