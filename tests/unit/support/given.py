# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs that somebody else has made, in the forms in which they are handed over."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    generate_key,
    make_issuing,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, fingerprint, to_pem

DAY = dt.timedelta(days=1)
ENCODING, PRIVATE = serialization.Encoding, serialization.PrivateFormat


@dataclass(frozen=True)
class Given:
    """A pair and what is above it, the root last."""

    key: Any
    chain: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate."""
        return self.chain[0]

    @property
    def fingerprint(self) -> str:
        """Of the certificate."""
        return fingerprint(self.leaf)

    def pem(self, *order: int) -> str:
        """The chain without its root, or the members in this order."""
        return "".join(to_pem(self.chain[index]) for index in order or range(len(self.chain) - 1))

    def key_pem(self, passphrase: str | None = None, form: PRIVATE = PRIVATE.PKCS8) -> str:
        """The key."""
        return str(self.key.private_bytes(ENCODING.PEM, form, self.lock(passphrase)).decode())

    def key_der(self) -> bytes:
        """The key in DER."""
        return bytes(self.key.private_bytes(ENCODING.DER, PRIVATE.PKCS8, self.lock(None)))

    def der(self) -> bytes:
        """The certificate alone in DER."""
        return self.leaf.public_bytes(ENCODING.DER)

    def pkcs12(self, passphrase: str | None, with_key: bool = True) -> bytes:
        """All of it but the root, in no particular order."""
        others = list(reversed(self.chain[1:-1]))
        return pkcs12.serialize_key_and_certificates(
            b"www", self.key if with_key else None, self.leaf, others, self.lock(passphrase)
        )

    @staticmethod
    def lock(passphrase: str | None) -> Any:
        """How it is encrypted."""
        return (
            serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
        )


class Makers:
    """Who makes such pairs: a root and an issuing CA, by the clock of ``now``."""

    def __init__(self, now: dt.datetime) -> None:
        self.now = now
        self.root = make_root("Given root", "ecdsa-p256", now - 100 * DAY, 4000 * DAY)
        self.issuing = make_issuing("Given issuing", "ecdsa-p256", self.root, now - 100 * DAY, 2000 * DAY)

    def give(
        self,
        *dns_names: str,
        key: Any = None,
        algorithm: str = "ecdsa-p256",
        usages: tuple[str, ...] = ("server_auth",),
        age: dt.timedelta = DAY,
        lifetime: dt.timedelta = 90 * DAY,
    ) -> Given:
        """A pair that was made ``age`` ago."""
        key = key or generate_key(algorithm)
        names = Names(dns_names=tuple(sorted(dns_names or ("www.example.com",))))
        leaf = make_leaf(key.public_key(), names, usages, self.issuing, self.now - age, lifetime)
        return Given(key, (leaf, self.issuing.certificate, self.root.certificate))

    def anchors(self) -> str:
        """The root, PEM."""
        return to_pem(self.root.certificate)


def server_pair(makers: Makers, folder: Path, name: str = "server") -> tuple[Path, Path]:
    """A pair for localhost in files: chain and key."""
    pair = makers.give("localhost", usages=("client_auth", "server_auth"))
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_text(pair.pem())
    key.write_text(pair.key_pem())
    return chain, key
