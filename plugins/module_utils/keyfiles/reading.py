# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a file that may hold certificates and private keys: PEM, DER, PKCS#12, JKS. A private key never leaves this module."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import INTEGER, SEQUENCE, elements, first
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.private_keys import (
    ENCRYPTED,
    PrivateKey,
    key_of_der,
    opened,
)
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import in_memory
from ansible_collections.fleet.tls.plugins.module_utils.system.openssl import call

# A body has no dashes, so that a file full of beginnings is not searched to its end for each of them.
PEM_BLOCK = re.compile(b"-----BEGIN ([A-Z0-9 ]{4,40})-----\\s((?:(?!-----).)+)-----END \\1-----", re.DOTALL)
CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
KEY_LABELS = (b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"DSA PRIVATE KEY", b"ENCRYPTED PRIVATE KEY")
# A Java keystore's first bytes: JKS, and JCEKS, which only differs in how keys are encrypted.
JKS_MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
# More than anybody's bundle of all public CAs has.
MOST_CERTIFICATES = 500
MOST_KEYS = 50


@dataclass
class Content:
    """What a file holds. ``certificates``: DER; ``error``: what could not be read in it, in words."""

    format: str
    certificates: list[bytes] = field(default_factory=list)
    keys: list[PrivateKey] = field(default_factory=list)
    error: str | None = None


def content_of(data: bytes, passphrases: Sequence[str]) -> Content | None:
    """What is in a file; None: neither a certificate nor a private key.

    :param passphrases: what encrypted keys and keystores are tried with.
    """
    if b"-----BEGIN " in data:
        return pem_content(data, passphrases)
    if data[:4] in JKS_MAGIC:
        return jks_content(data)
    if data[:1] == bytes([SEQUENCE]):
        return der_content(data, passphrases)
    return None


def pem_content(data: bytes, passphrases: Sequence[str]) -> Content | None:
    """Blocks of PEM (RFC 7468), with whatever stands between them."""
    found = Content("pem")
    begun = sum(data.count(b"-----BEGIN " + label + b"-----") for label in (*CERTIFICATE_LABELS, *KEY_LABELS))
    read = 0
    for match in PEM_BLOCK.finditer(data):
        label, body = match.group(1), match.group(2)
        if label not in CERTIFICATE_LABELS and label not in KEY_LABELS:
            continue
        read += 1
        try:
            if label in CERTIFICATE_LABELS:
                # A "trusted" one is followed by what it is trusted for.
                found.certificates.append(first(decoded(body)).whole)
            else:
                found.keys.append(pem_key(label, body, match.group(0), passphrases))
        except (binascii.Error, ValueError):
            found.error = f"a block of it is damaged ({label.decode().lower()})"
    if read < begun:
        found.error = "a block of it is cut off"
    return bounded(found) if begun else None


def pem_key(label: bytes, body: bytes, whole: bytes, passphrases: Sequence[str]) -> PrivateKey:
    """A private key.

    :raises ValueError: it is none.
    """
    if label == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in body:
        identifiers = (opened(whole + b"\n", passphrase) for passphrase in passphrases)
        return PrivateKey(None, next((each for each in identifiers if each), None), True)
    if label == b"DSA PRIVATE KEY":
        return PrivateKey("dsa", None)
    return key_of_der(decoded(body))


def decoded(body: bytes) -> bytes:
    """Base64 over several lines."""
    return base64.b64decode(b"".join(body.split()), validate=True)


def der_content(data: bytes, passphrases: Sequence[str]) -> Content | None:
    """One certificate, key or PKCS#12 file; the controller sees whether what looks like a certificate is one."""
    try:
        outer = first(data)
        parts = list(elements(outer.content))
    except ValueError:
        return None
    # A file is one element to its end, but for a line break that an editor may have added.
    if not parts or data[len(outer.whole) :].strip():
        return None
    if parts[0].tag == INTEGER:
        if parts[0].content == b"\3" and len(parts) > 1 and parts[1].tag == SEQUENCE:
            return pkcs12_content(outer.whole, passphrases)
        try:
            return Content("der", keys=[key_of_der(outer.whole)])
        except (ValueError, IndexError):
            return None
    if len(parts) == 3 and parts[0].tag == SEQUENCE and is_certificate_body(parts[0].content):
        return Content("der", certificates=[outer.whole])
    return None


def is_certificate_body(body: bytes) -> bool:
    """Whether this is a TBSCertificate (RFC 5280, 4.1) and not the body of a CSR or a CRL."""
    try:
        tags = [each.tag for each in elements(body)]
    except ValueError:
        return False
    return tags[:3] == [0xA0, INTEGER, SEQUENCE] or tags[:6] == [INTEGER, *[SEQUENCE] * 5]


def pkcs12_content(data: bytes, passphrases: Sequence[str]) -> Content:
    """A PKCS#12 file (RFC 7292), opened by ``openssl``: key and certificates come through a pipe and stay in memory."""
    words = ""
    for passphrase in ("", *passphrases):
        # What is older than OpenSSL 3 is often encrypted with RC2, for which that has to be asked.
        for legacy in ([], ["-legacy"]):
            try:
                with in_memory(passphrase.encode() + b"\n") as secret:
                    arguments = ["pkcs12", "-nodes", "-passin", f"fd:{secret}", *legacy]
                    found = pem_content(call(arguments, data, (secret,)), ())
            except StepError as error:
                words = error.message
                if "mac verify" in words.lower():
                    break
            else:
                return Content("pkcs12", *((found.certificates, found.keys, found.error) if found else ()))
    if "mac verify" in words.lower() or not passphrases:
        words = "none of the passphrases opens it" if passphrases else "it needs a passphrase"
    return Content("pkcs12", keys=[ENCRYPTED], error=words)


def jks_content(data: bytes) -> Content:
    """A Java keystore of the old form. Its certificates are in clear, so neither ``keytool`` nor a passphrase is needed.

    Its keys are encrypted, and not looked into. Source of the form: the JDK's ``sun.security.provider.JavaKeyStore``.
    """
    found = Content("jks")
    reader = Reader(data, 4)
    try:
        version, entries = reader.number(4), reader.number(4)
        for _entry in range(min(entries, MOST_CERTIFICATES)):
            tag = reader.number(4)
            reader.text()  # the alias
            reader.number(8)  # the time
            if tag == 1:
                reader.take(reader.number(4))
                found.keys.append(ENCRYPTED)
            elif tag != 2:
                raise ValueError("an entry of another kind")
            for _certificate in range(reader.number(4) if tag == 1 else 1):
                if version == 2:
                    reader.text()  # the kind, "X.509"
                found.certificates.append(reader.take(reader.number(4)))
    except ValueError:
        found.error = "a part of it is damaged, or of a kind that is not read"
    return bounded(found)


class Reader:
    """A cursor over bytes."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def take(self, size: int) -> bytes:
        """The next bytes.

        :raises ValueError: there are not so many.
        """
        if size > len(self.data) - self.position:
            raise ValueError("cut off")
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, size: int) -> int:
        """A number without sign, big-endian."""
        return int.from_bytes(self.take(size), "big")

    def text(self) -> bytes:
        """A text with its length before it."""
        return self.take(self.number(2))


def bounded(found: Content) -> Content:
    """The same, no longer than it may be."""
    if len(found.certificates) > MOST_CERTIFICATES or len(found.keys) > MOST_KEYS:
        found.error = f"it holds more than {MOST_CERTIFICATES} certificates or {MOST_KEYS} keys"
        del found.certificates[MOST_CERTIFICATES:], found.keys[MOST_KEYS:]
    return found


def as_answer(keys: Sequence[PrivateKey]) -> list[dict[str, Any]]:
    """Keys as they travel, see docs/host-protocol.md."""
    return [{"algorithm": each.algorithm, "id": each.key_id, "encrypted": each.encrypted} for each in keys]
