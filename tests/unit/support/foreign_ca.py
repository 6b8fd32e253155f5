# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CAs that others have made, by the ``openssl`` program, in the file forms that their tools write."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from cryptography import x509

SECRET = "their own passphrase"
ROOT = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
ISSUING = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
LEAF = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:theirs.example.com\n"

KEYS = {
    "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "ed448": ("-algorithm", "ED448"),
    "pss": ("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"),
}


def openssl(*arguments: Any, stdin: bytes | None = None) -> bytes:
    """What it prints."""
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout


class ForeignCa:
    """CAs in a folder: each is ``NAME.pem`` and ``NAME.key``, not encrypted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """A file of it."""
        return self.folder / name

    def make(
        self,
        name: str,
        extensions: str,
        signer: str | None = None,
        *,
        key: str = "ec",
        days: int = 3650,
        subject: str = "",
    ) -> Path:
        """A certificate with a new key, signed by another one of the folder, or by itself."""
        openssl("genpkey", *KEYS[key], "-out", self.path(f"{name}.key"))
        csr = self.path(f"{name}.csr")
        openssl("req", "-new", "-key", self.path(f"{name}.key"), "-subj", subject or f"/O=Corp/CN={name}", "-out", csr)
        return self.sign(csr, name, extensions, signer, days=days)

    def sign(
        self, csr: Path, name: str, extensions: str, signer: str | None, *, days: int = 3650, subject: str = ""
    ) -> Path:
        """A CSR signed, as ``openssl x509 -req`` does it; ``subject``: another one than it asks for."""
        (self.folder / "extensions").write_text(f"[v3]\n{extensions}")
        signing: list[Any] = ["-signkey", self.path(f"{name}.key")]
        if signer:
            signing = ["-CA", self.path(f"{signer}.pem"), "-CAkey", self.path(f"{signer}.key")]
        other = ["-subj", subject] if subject else []
        openssl(
            "x509", "-req", "-in", csr, *signing, *other, "-days", days, "-extfile", self.path("extensions"), "-extensions", "v3",
            "-out", self.path(f"{name}.pem"),
        )  # fmt: skip
        return self.path(f"{name}.pem")

    def certificate(self, name: str) -> x509.Certificate:
        """One of them."""
        return x509.load_pem_x509_certificate(self.path(f"{name}.pem").read_bytes())

    def database(self) -> Path:
        """What ``openssl ca`` and easy-rsa keep beside a CA, empty."""
        self.path("index.txt").write_text("")
        self.path("serial").write_text("1000\n")
        self.path("crlnumber").write_text("2a\n")
        self.path("ca.cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.folder}/index.txt\nnew_certs_dir={self.folder}\nserial={self.folder}/serial\n"
            f"crlnumber={self.folder}/crlnumber\ndefault_md=sha256\npolicy=p\nunique_subject=no\ndefault_crl_days=180\n"
            "[p]\ncommonName=supplied\n[v3]\n" + LEAF
        )
        return self.path("index.txt")

    def issue(self, signer: str, name: str, *, days: int = 365) -> x509.Certificate:
        """A client's certificate, noted in the database."""
        csr = self.path(f"{name}.csr")
        openssl(
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            self.path(f"{name}.key"),
            "-subj",
            f"/CN={name}",
            "-out",
            csr,
        )
        self.ca(
            signer,
            "-batch",
            "-notext",
            "-in",
            csr,
            "-days",
            days,
            "-extensions",
            "v3",
            "-out",
            self.path(f"{name}.pem"),
        )
        return self.certificate(name)

    def revoke(self, signer: str, name: str, reason: str = "keyCompromise") -> None:
        """A certificate noted as revoked."""
        self.ca(signer, "-revoke", self.path(f"{name}.pem"), "-crl_reason", reason)

    def crl(self, signer: str, name: str = "crl.pem", *, days: int = 180) -> Path:
        """A revocation list of what is noted."""
        self.ca(signer, "-gencrl", "-crldays", days, "-out", self.path(name))
        return self.path(name)

    def ca(self, signer: str, *arguments: Any) -> None:
        """``openssl ca``."""
        signing = ["-cert", self.path(f"{signer}.pem"), "-keyfile", self.path(f"{signer}.key")]
        openssl("ca", "-config", self.path("ca.cnf"), *signing, *arguments)


def locked_pkcs8(ca: ForeignCa, name: str) -> Path:
    """A key in ``BEGIN ENCRYPTED PRIVATE KEY``, as openssl, easy-rsa and community.crypto write it."""
    out = ca.path(f"{name}-locked.key")
    openssl(
        "pkcs8",
        "-topk8",
        "-v2",
        "aes-256-cbc",
        "-in",
        ca.path(f"{name}.key"),
        "-passout",
        f"pass:{SECRET}",
        "-out",
        out,
    )
    return out


def locked_traditional(ca: ForeignCa, name: str) -> Path:
    """A key in ``Proc-Type: 4,ENCRYPTED``, as step writes it."""
    out = ca.path(f"{name}_key")
    openssl("pkey", "-in", ca.path(f"{name}.key"), "-traditional", "-aes256", "-passout", f"pass:{SECRET}", "-out", out)
    assert b"Proc-Type: 4,ENCRYPTED" in out.read_bytes()
    return out


def pkcs12(ca: ForeignCa, name: str, *others: str) -> Path:
    """Certificate, key and other certificates in one file, as XCA exports them."""
    out, more = ca.path(f"{name}.p12"), ca.path(f"{name}-others.pem")
    more.write_text("".join(ca.path(f"{each}.pem").read_text() for each in others))
    extra = ["-certfile", more] if others else []
    openssl(
        "pkcs12", "-export", "-inkey", ca.path(f"{name}.key"), "-in", ca.path(f"{name}.pem"), *extra,
        "-passout", f"pass:{SECRET}", "-out", out,
    )  # fmt: skip
    return out
