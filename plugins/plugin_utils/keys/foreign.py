# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that are elsewhere, as ``cryptography`` takes them: its builders of certificates, CRLs and CSRs sign with them as with its own.

A signature is verified before it is handed on: what a token or a program signed with another key would be found by clients only.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import KeyUnavailable
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import KeyRecord, KeysElsewhere, ToSign
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import (
    InvalidSignature,
    UnsupportedAlgorithm,
    ec,
    ed25519,
    rsa,
    serialization,
)


class Foreign:
    """What keys of all kinds have in common.

    :param public: its public key, as ``cryptography`` has it.
    """

    def __init__(self, provider: KeysElsewhere, record: KeyRecord, public: Any) -> None:
        self.provider, self.record, self.public = provider, record, public

    def public_key(self) -> Any:
        """Its public key."""
        return self.public

    def signed(self, what: ToSign, *how: Any) -> bytes:
        """What the provider signs, verified.

        :param how: what ``verify`` of the public key wants besides signature and data.
        :raises KeyUnavailable: it does not sign, or signs with another key.
        """
        signature = self.provider.sign(self.record.reference, what)
        try:
            self.public.verify(signature, what.data, *how)
        except (InvalidSignature, ValueError, TypeError):
            raise KeyUnavailable(
                f"{self.provider.place(self.record.reference)} gave a signature that is not of the key it was asked for",
                remedy="see that it has the key that the CA's certificate is for",
            ) from None
        return signature

    def private_bytes(self, *args: Any, **kwargs: Any) -> NoReturn:
        """It is never asked for."""
        raise TypeError("a key that is not in the store does not leave its place")

    private_bytes_raw = private_numbers = decrypt = exchange = private_bytes

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class ForeignEcKey(Foreign, ec.EllipticCurvePrivateKey):
    """ECDSA."""

    @property
    def curve(self) -> Any:
        """Its curve."""
        return self.public.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return int(self.public.key_size)

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        """As the class above: DER."""
        return self.signed(ToSign("ecdsa", signature_algorithm.algorithm.name, bytes(data)), signature_algorithm)


class ForeignRsaKey(Foreign, rsa.RSAPrivateKey):
    """RSA with the padding of RFC 8017, 8.2, which certificates have."""

    @property
    def key_size(self) -> int:
        """In bits."""
        return int(self.public.key_size)

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        """As the class above."""
        if padding.name != "EMSA-PKCS1-v1_5":
            raise UnsupportedAlgorithm("a key that is not in the store signs with PKCS#1 v1.5 alone")
        return self.signed(ToSign("rsa-pkcs1v15", algorithm.name, bytes(data)), padding, algorithm)


class ForeignEd25519Key(Foreign, ed25519.Ed25519PrivateKey):
    """Ed25519."""

    def sign(self, data: Any) -> bytes:
        """As the class above."""
        return self.signed(ToSign("ed25519", "", bytes(data)))


def foreign_key(provider: KeysElsewhere, record: KeyRecord) -> Any:
    """A key of ``provider``.

    :raises KeyUnavailable: its public key is none, or of a kind that has no class here.
    """
    try:
        public = serialization.load_pem_public_key(record.public_key.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        public = None
    for kind, made in (
        (ec.EllipticCurvePublicKey, ForeignEcKey),
        (rsa.RSAPublicKey, ForeignRsaKey),
        (ed25519.Ed25519PublicKey, ForeignEd25519Key),
    ):
        if isinstance(public, kind):
            return made(provider, record, public)
    raise KeyUnavailable(
        f"what is known of the key in {provider.place(record.reference)} is no public key that can be used here",
        remedy="restore the entry from the store's backup",
    )


def public_pem(public_key: Any) -> str:
    """PEM text (SubjectPublicKeyInfo) with a final newline."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(public_key.public_bytes(serialization.Encoding.PEM, form).decode())
