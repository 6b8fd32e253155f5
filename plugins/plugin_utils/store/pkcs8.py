# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys sealed as PKCS#8 PEM (RFC 5958): PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA256 (RFC 8018).

``cryptography`` opens them whatever their rounds, and can only make ones with 2,048, a guess of which takes 2 ms; so the program
``openssl`` makes them, of 600,000 (OWASP's number for this function). Opening one takes a tenth of a second, so that is done once a run.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hmac
import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import AESGCM, InvalidTag, serialization

PBKDF2 = {"rounds": 600_000}
# What ``cryptography`` gives.
FEW_ROUNDS = 2048
PBKDF2_OID = bytes.fromhex("06092a864886f70d01050c")
SEQUENCE, OCTET_STRING, INTEGER = 0x30, 0x04, 0x02
NONCE_BYTES = 12
LENGTH_BYTES = 2


def sealed_pem(private_key: Any, passphrase: bytes) -> bytes:
    """A private key under a passphrase.

    :raises DependencyError: ``openssl`` is not on the controller; :raises StoreError: it fails.
    """
    few = is_many_lines(passphrase) or PBKDF2["rounds"] <= FEW_ROUNDS
    encryption = serialization.BestAvailableEncryption(passphrase) if few else serialization.NoEncryption()
    pem: bytes = private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    if few:
        return pem
    how = ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", str(PBKDF2["rounds"])]
    try:
        with openssl.in_memory(passphrase + b"\n") as secret:
            return openssl.call(["pkcs8", "-topk8", *how, "-passout", f"fd:{secret}"], pem, (secret,))
    except StepError as error:
        if error.code == "openssl_missing":
            raise DependencyError(
                "the program 'openssl' is missing on the controller", remedy="install it where ansible runs"
            ) from None
        raise StoreError(
            f"a private key cannot be sealed: {error.message}", remedy="see which openssl runs on the controller"
        ) from None


def is_many_lines(passphrase: bytes) -> bool:
    """Whether ``openssl`` would read the beginning of it only. Stores that have such a passphrase keep the form that they have."""
    return b"\n" in passphrase or b"\0" in passphrase


def is_outdated(pem: bytes, passphrase: bytes) -> bool:
    """Whether a sealed key has fewer rounds than :func:`sealed_pem` would give it."""
    rounds = rounds_of(pem)
    return rounds is not None and rounds < PBKDF2["rounds"] and not is_many_lines(passphrase)


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
