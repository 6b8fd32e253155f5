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
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import (
    INTEGER,
    OCTET_STRING,
    OID,
    SEQUENCE,
    Element,
    elements,
    first,
)
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
ENCRYPTED_KEY = b"ENCRYPTED PRIVATE KEY"
CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
KEY_LABELS = (b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"DSA PRIVATE KEY", ENCRYPTED_KEY)
# How a PKCS#12 file begins (RFC 7292, section 4): a sequence of version 3 and a sequence. NSS (Firefox, pk12util) writes BER, with
# lengths that are left open (X.690, 8.1.3.6), which openssl reads.
PKCS12_BEGIN = re.compile(rb"\x30(?:[\x00-\x7f\x80]|\x81.|\x82.{2}|\x83.{3}|\x84.{4})\x02\x01\x03\x30", re.DOTALL)
# PKCS#5 (RFC 8018, appendix A) and the password-based algorithms of PKCS#12 (RFC 7292, appendix C).
PASSWORD_BASED = (bytes.fromhex("2a864886f70d0105"), bytes.fromhex("2a864886f70d010c01"))
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
    if label == ENCRYPTED_KEY or b"Proc-Type: 4,ENCRYPTED" in body:
        return encrypted_key(whole + b"\n", passphrases)
    if label == b"DSA PRIVATE KEY":
        return PrivateKey("dsa", None)
    return key_of_der(decoded(body))


def encrypted_key(pem: bytes, passphrases: Sequence[str]) -> PrivateKey:
    """A private key that one of the passphrases may open."""
    identifiers = (opened(pem, passphrase) for passphrase in passphrases)
    return PrivateKey(None, next((each for each in identifiers if each), None), True)


def decoded(body: bytes) -> bytes:
    """Base64 over several lines."""
    return base64.b64decode(b"".join(body.split()), validate=True)


def der_content(data: bytes, passphrases: Sequence[str]) -> Content | None:
    """Certificates and keys one behind the other, or a PKCS#12 file; the controller sees whether what looks like a certificate is one."""
    if PKCS12_BEGIN.match(data):
        return pkcs12_content(data, passphrases)
    found = Content("der")
    # An editor may have added a line break, and a tool may have filled up a block.
    while data.strip(b"\0\r\n\t ") and len(found.certificates) <= MOST_CERTIFICATES and len(found.keys) <= MOST_KEYS:
        try:
            outer = first(data)
            add_der(found, outer, passphrases)
        except (ValueError, IndexError):
            if not found.certificates and not found.keys:
                return None
            found.error = (
                f"what follows after the first {len(found.certificates) + len(found.keys)} in it cannot be read"
            )
            break
        data = data[len(outer.whole) :]
    return bounded(found)


def add_der(found: Content, outer: Element, passphrases: Sequence[str]) -> None:
    """Put a certificate or a private key to what was found.

    :raises ValueError: it is neither.
    """
    if outer.tag != SEQUENCE:
        raise ValueError("no sequence")
    parts = list(elements(outer.content))
    tags = [each.tag for each in parts]
    if tags[:1] == [INTEGER]:
        found.keys.append(key_of_der(outer.whole))
    elif len(parts) == 3 and tags[0] == SEQUENCE and is_certificate_body(parts[0].content):
        found.certificates.append(outer.whole)
    elif tags == [SEQUENCE, OCTET_STRING] and is_password_based(parts[0]):
        found.keys.append(encrypted_key(as_pem(ENCRYPTED_KEY, outer.whole), passphrases))
    else:
        raise ValueError("neither a certificate nor a private key")


def is_password_based(algorithm: Element) -> bool:
    """Whether this is how an EncryptedPrivateKeyInfo (RFC 5958, section 3) is encrypted, and not the digest in a signature."""
    identifier = first(algorithm.content)
    return identifier.tag == OID and identifier.content.startswith(PASSWORD_BASED)


def as_pem(label: bytes, der: bytes) -> bytes:
    """PEM (RFC 7468): in DER, older versions of openssl look for one kind of private key only."""
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, base64.encodebytes(der), label)


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
