# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real nginx with two certificates, RSA beside ECDSA: the one that most clients never see has expired, or is for another name."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ansible_collections.fleet.tls.tests.local import nginx
from ansible_collections.fleet.tls.tests.local.probing import LOCAL, probe
from tools.ports import free_port

NAME = "www.example.com"
SERVER = """
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_protocols {protocols};
        {pairs}
    }}
"""


def pair(folder: Path, kind: str, days: int) -> str:
    """Directives for a pair of this kind that ends in so many days."""
    key: Any = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, kind)])
    end = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - dt.timedelta(days=90))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{kind}.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return f"ssl_certificate {file}; ssl_certificate_key {file};"


def test_the_second_certificate_is_seen(tmp_path: Path) -> None:
    both = pair(tmp_path, "rsa", -30) + pair(tmp_path, "ecdsa", 30)
    only = pair(tmp_path, "ecdsa", 30)
    wanted = {"TLSv1.2": both, "TLSv1.3": both, "TLSv1.2 TLSv1.3": only}
    ports = [free_port() for _each in wanted]
    servers = "".join(
        SERVER.format(port=port, protocols=protocols, pairs=pairs)
        for port, (protocols, pairs) in zip(ports, wanted.items())
    )
    endpoints = [{"host": "127.0.0.1", "port": port, "server_name": NAME} for port in ports]
    with nginx.running(tmp_path / "nginx", servers, ports[-1]):
        asked = probe(tmp_path, endpoints=endpoints, key_types=True, timeout="30s")["endpoints"]
        from_host = probe(tmp_path, LOCAL, endpoints=endpoints[:1], key_types=True, timeout="30s", origin="host")
        unasked = probe(tmp_path, endpoints=endpoints, timeout="30s")["endpoints"]
    assert [each["certificates"][0]["subject"] for each in asked] == ["CN=ecdsa"] * 3
    assert [[one["subject"] for one in each["other_certificates"]] for each in asked] == [["CN=rsa"], ["CN=rsa"], []]
    for each in (*asked[:2], *from_host["endpoints"]):
        assert each["other_certificates"][0]["days_left"] < 0 and len(each["other_chain"]) == 1
        assert [said for said in each["problems"] if said.startswith("the second certificate: ") and "expired" in said]
    assert not any(each["other_chain"] for each in unasked)
    assert not [said for each in (*unasked, asked[2]) for said in each["problems"] if "second" in said]
