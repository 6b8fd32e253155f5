# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where ``cryptography`` is imported: everything else takes its names from here.

Where the package is missing or too old, our modules can be imported all the same, and the first thing an action does is to say
what is missing and how to get it.
"""

from __future__ import annotations

import sys
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError

# The oldest release that is promised, and tested.
OLDEST = 42


def refuse_old(release: str) -> None:
    """:raises ImportError: a release of the package before ``OLDEST``."""
    number = release.partition(".")[0]
    if not number.isdecimal() or int(number) < OLDEST:
        raise ImportError(f"{release} is installed, {OLDEST} or newer is needed")


try:
    from cryptography import __version__ as INSTALLED

    refuse_old(INSTALLED)
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.ciphers.modes import CBC
    from cryptography.hazmat.primitives.padding import PKCS7
    from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
    from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
except ImportError as error:
    CRYPTOGRAPHY_PROBLEM: str | None = str(error)

    class Missing:
        """Stands for every name of the package; nothing of it is used before :func:`require_cryptography`."""

        def __getattr__(self, name: str) -> Any:
            return self

        def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
            """A class that would be derived from one of the package's is derived from nothing instead."""
            return ()

    x509 = hashes = serialization = pkcs7 = pkcs12 = ec = ed448 = ed25519 = rsa = Missing()  # type: ignore[assignment]
    AES256 = AESGCM = CBC = Cipher = PKCS7 = Missing()  # type: ignore[assignment,misc]
    ExtendedKeyUsageOID = ExtensionOID = NameOID = Missing()  # type: ignore[assignment,misc]
    InvalidSignature = InvalidTag = UnsupportedAlgorithm = Exception  # type: ignore[assignment,misc]
else:
    CRYPTOGRAPHY_PROBLEM = None

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError:
    # Older than the algorithm; see post_quantum.py.
    mldsa = None  # type: ignore[assignment]

__all__ = (
    "AES256",
    "AESGCM",
    "CBC",
    "CRYPTOGRAPHY_PROBLEM",
    "Cipher",
    "ExtendedKeyUsageOID",
    "ExtensionOID",
    "InvalidSignature",
    "InvalidTag",
    "NameOID",
    "PKCS7",
    "UnsupportedAlgorithm",
    "ec",
    "ed448",
    "ed25519",
    "hashes",
    "mldsa",
    "pkcs12",
    "pkcs7",
    "require_cryptography",
    "rsa",
    "serialization",
    "version",
    "x509",
)


def version() -> str:
    """Which release of the package it is; only where it is there."""
    return INSTALLED


def require_cryptography() -> None:
    """:raises DependencyError: the package is not on the controller, or too old."""
    if CRYPTOGRAPHY_PROBLEM:
        raise DependencyError(
            f"the Python package 'cryptography' is missing or too old on the controller ({CRYPTOGRAPHY_PROBLEM})",
            remedy=f"install it where ansible runs: {sys.executable} -m pip install 'cryptography>={OLDEST}'",
        )
