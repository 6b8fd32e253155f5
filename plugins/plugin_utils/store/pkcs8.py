# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys sealed as PKCS#8 PEM (RFC 5958): PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA256 (RFC 8018).

``cryptography`` opens them whatever their rounds, and can only make ones with 2,048, a guess of which takes 2 ms; so they are written here,
with 600,000 (OWASP's number for this function), for keys of all kinds: a controller's ``openssl`` may know fewer than its ``cryptography``.
Opening one takes a tenth of a second, so that is done once a run.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import (
    INTEGER,
    NULL,
    OCTET_STRING,
    SEQUENCE,
    encode,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import (
    AES256,
    AESGCM,
    CBC,
    PKCS7,
    Cipher,
    InvalidTag,
    serialization,
)

PBKDF2 = {"rounds": 600_000}
# RFC 8018, appendix C; the object identifiers as they stand in DER.
PBES2_OID, PBKDF2_OID = bytes.fromhex("06092a864886f70d01050d"), bytes.fromhex("06092a864886f70d01050c")
HMAC_SHA256_OID, AES256_CBC_OID = bytes.fromhex("06082a864886f70d0209"), bytes.fromhex("060960864801650304012a")
SALT_BYTES, KEY_BYTES, BLOCK_BYTES, BLOCK_BITS = 16, 32, 16, 128
LINE = 64
NONCE_BYTES = 12
LENGTH_BYTES = 2


def sealed_pem(private_key: Any, passphrase: bytes) -> bytes:
    """A private key under a passphrase."""
    clear = private_key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    salt, vector, rounds = os.urandom(SALT_BYTES), os.urandom(BLOCK_BYTES), PBKDF2["rounds"]
    padder = PKCS7(BLOCK_BITS).padder()
    encryptor = Cipher(
        AES256(hashlib.pbkdf2_hmac("sha256", passphrase, salt, rounds, KEY_BYTES)), CBC(vector)
    ).encryptor()
    sealed = encryptor.update(padder.update(clear) + padder.finalize()) + encryptor.finalize()
    body = base64.b64encode(encrypted_key_info(salt, vector, rounds, sealed)).decode()
    lines = [body[start : start + LINE] for start in range(0, len(body), LINE)]
    label = "ENCRYPTED PRIVATE KEY-----"
    return "\n".join([f"-----BEGIN {label}", *lines, f"-----END {label}", ""]).encode()


def encrypted_key_info(salt: bytes, vector: bytes, rounds: int, sealed: bytes) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5958, section 3) with the parameters of PBES2 (RFC 8018, appendix A.4)."""
    # A leading zero where it would be read as negative.
    number = encode(INTEGER, rounds.to_bytes(rounds.bit_length() // 8 + 1, "big"))
    function = encode(SEQUENCE, HMAC_SHA256_OID + encode(NULL, b""))
    derivation = encode(SEQUENCE, PBKDF2_OID + encode(SEQUENCE, encode(OCTET_STRING, salt) + number + function))
    scheme = encode(SEQUENCE, AES256_CBC_OID + encode(OCTET_STRING, vector))
    algorithm = encode(SEQUENCE, PBES2_OID + encode(SEQUENCE, derivation + scheme))
    return encode(SEQUENCE, algorithm + encode(OCTET_STRING, sealed))


def is_many_lines(passphrase: bytes) -> bool:
    """Whether programs that read a passphrase from a file would read the beginning of it only."""
    return b"\n" in passphrase or b"\0" in passphrase


def is_outdated(pem: bytes) -> bool:
    """Whether a sealed key has fewer rounds than :func:`sealed_pem` would give it."""
    rounds = rounds_of(pem)
    return rounds is not None and rounds < PBKDF2["rounds"]


def rounds_of(pem: bytes) -> int | None:
    """The rounds of PBKDF2 of a sealed key; None: it has none, or is damaged."""
    try:
        der = base64.b64decode(b"".join(line for line in pem.splitlines() if not line.startswith(b"-----")))
        salt = der[der.index(PBKDF2_OID) + len(PBKDF2_OID) + 2 :]
        number = salt[2 + salt[1] :]
        if (salt[0], number[0]) != (OCTET_STRING, INTEGER):
            return None
        return int.from_bytes(number[2 : 2 + number[1]], "big")
    except (ValueError, IndexError, binascii.Error):
        return None


def opened(pem: bytes, passphrase: bytes) -> Any:
    """The private key.

    :raises ValueError, TypeError, UnsupportedAlgorithm: as ``load_pem_private_key``: another passphrase, or it is damaged.
    """
    name = hmac.digest(OPENED.secret, passphrase + b"\0" + pem, "sha256")
    der = OPENED.get(name)
    if der is None:
        # All hosts of a stage want the keys of a CA at the same moment.
        with OPENED.alone(name):
            der = OPENED.get(name)
            if der is None:
                key = serialization.load_pem_private_key(pem, passphrase)
                clear = key.private_bytes(
                    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                OPENED.put(name, clear)
                return key
    return serialization.load_der_private_key(der, None)


class OpenedKeys:
    """What this run has opened, for all its processes: in memory that those which are forked later share.

    An action is imported in the process that forks the workers (see ``base/playbook_run.py``). Each entry is sealed under a key that only
    these processes have; one that two of them wrote at once does not open, and is none.
    """

    SLOTS, SIZE = 32, 4096

    def __init__(self) -> None:
        self.secret = os.urandom(32)
        self.memory = mmap.mmap(-1, self.SLOTS * self.SIZE)
        # A file that nobody writes to: its bytes are locked.
        with tempfile.TemporaryFile() as file:
            self.locks = os.dup(file.fileno())

    def get(self, name: bytes) -> bytes | None:
        """What was put under a name, as long as nothing else needed its place."""
        start = self.start(name)
        length = int.from_bytes(self.memory[start : start + LENGTH_BYTES], "big")
        whole = self.memory[start + LENGTH_BYTES : start + LENGTH_BYTES + length]
        if not whole:
            return None
        try:
            return AESGCM(self.secret).decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], name)
        except (InvalidTag, ValueError):
            return None

    def put(self, name: bytes, value: bytes) -> None:
        """Keep it for the rest of the run; what is too large is not kept."""
        nonce = os.urandom(NONCE_BYTES)
        whole = nonce + AESGCM(self.secret).encrypt(nonce, value, name)
        start, entry = self.start(name), len(whole).to_bytes(LENGTH_BYTES, "big") + whole
        if len(entry) <= self.SIZE:
            self.memory[start : start + len(entry)] = entry

    @contextlib.contextmanager
    def alone(self, name: bytes) -> Iterator[None]:
        """While it lasts, another process that wants this waits. A lock of ``lockf`` is a process's own, whoever opened the file."""
        place = name[0] % self.SLOTS
        fcntl.lockf(self.locks, fcntl.LOCK_EX, 1, place)
        try:
            yield
        finally:
            fcntl.lockf(self.locks, fcntl.LOCK_UN, 1, place)

    def start(self, name: bytes) -> int:
        """The place of a name."""
        return name[0] % self.SLOTS * self.SIZE


OPENED = OpenedKeys()
