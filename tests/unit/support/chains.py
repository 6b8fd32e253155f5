# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of every kind, made by hand: CAs that may do what they do, and CAs that may not."""

from __future__ import annotations

import datetime as dt
import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import key_usage_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.timezone.utc)
DAY = dt.timedelta(days=1)
HOST = "www.example.com"
CERT_SIGN = key_usage_of((), certificates=True)
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
KINDS: dict[str, Any] = {
    "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
}


@functools.cache
def key(name: str) -> Any:
    """The key of a CA or leaf, always the same; what kind it is stands before a colon (``rsa-1024:root``), else it is P-256."""
    kind, colon, _rest = name.partition(":")
    return KINDS[kind if colon else "p256"]()


def dn(text: str, string_type: Any = None) -> x509.Name:
    """A name: ``CN``, or attributes of a longer one, ``O=Example/CN=Root``."""
    parts = [each.partition("=") for each in text.split("/")] if "=" in text else [("CN", "=", text)]
    oids = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "C": NameOID.COUNTRY_NAME}
    return x509.Name([x509.NameAttribute(oids[kind], value, string_type) for kind, _equals, value in parts])


def certificate(
    subject: str,
    issuer: str,
    *extensions: tuple[x509.ExtensionType, bool],
    own: str = "",
    signer: str = "",
    begin: dt.datetime = NOW - 10 * DAY,
    end: dt.datetime = NOW + 10 * DAY,
    serial: int | None = None,
    **types: Any,
) -> x509.Certificate:
    """A certificate. ``own``, ``signer``: names of keys, where they are not the subject's and the issuer's."""
    private = key(signer or issuer)
    builder = x509.CertificateBuilder(
        dn(issuer, types.get("issuer_type")),
        dn(subject, types.get("subject_type")) if subject else x509.Name([]),
        key(own or subject).public_key(),
        serial or x509.random_serial_number(),
        begin,
        end,
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    without = isinstance(private, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(private, None if without else hashes.SHA256())


def authority(
    subject: str, issuer: str = "", *more: x509.ExtensionType, length: int | None = None, **changes: Any
) -> Any:
    """A CA; without an issuer it is a root. ``more`` takes the place of extensions of the same kind."""
    usual = [(x509.BasicConstraints(True, length), True), (CERT_SIGN, True)]
    return certificate(subject, issuer or subject, *merged(usual, more), **changes)


def leaf(
    issuer: str, *more: x509.ExtensionType, subject: str = "leaf", names: Sequence[str] = (HOST,), **changes: Any
) -> Any:
    """A server's certificate."""
    san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    usual: list[Any] = [(x509.BasicConstraints(False, None), True), (SERVER, False), (san, False)]
    return certificate(subject, issuer, *merged(usual, more), **changes)


def merged(usual: list[Any], more: Sequence[Any]) -> list[Any]:
    """Extensions with the special ones in the place of the usual."""
    special = [each if isinstance(each, tuple) else (each, False) for each in more]
    kinds = {type(value) for value, _critical in special}
    return [each for each in usual if type(each[0]) not in kinds] + special


def openssl_takes(
    folder: Path, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> tuple[bool, str]:
    """Whether the ``openssl`` program does, as Python and curl call it, and its words."""
    texts = {"leaf": chain[:1], "others": chain[1:], "anchors": anchors}
    for name, certificates in texts.items():
        (folder / name).write_text("".join(map(to_pem, certificates)))
    command = [
        "openssl",
        "verify",
        "-partial_chain",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        HOST,
        "-auth_level",
        "2",
    ]
    command += ["-attime", str(int(NOW.timestamp())), "-trusted", str(folder / "anchors")]
    command += ["-untrusted", str(folder / "others")] if chain[1:] else []
    done = subprocess.run([*command, str(folder / "leaf")], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0, done.stderr
