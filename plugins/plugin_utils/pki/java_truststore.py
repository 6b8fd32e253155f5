# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PKCS#12 files whose certificates Java trusts: it takes one as trusted only where an attribute of its own says so, which ``openssl`` can
write since 3.2 only. So they are made on the controller; there is no private key in them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki import crypto
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import hashes, pkcs12, serialization, x509

# The first release of cryptography with serialize_java_truststore().
NEEDED = 45


def refuse_old_cryptography(what: str) -> None:
    """Before anything is touched.

    :param what: what needs a newer one, for people.
    :raises DependencyError: this controller's cannot make a truststore.
    """
    if not hasattr(pkcs12, "serialize_java_truststore"):
        raise DependencyError(
            f"{what} needs the Python package cryptography {NEEDED} or newer on the controller, which has {crypto.version()}",
            remedy=f"install it where ansible runs: pip install 'cryptography>={NEEDED}'",
        )


def java_truststore(
    certificates: Mapping[str, x509.Certificate], passphrase: str | None, *, legacy: bool = False
) -> bytes:
    """A truststore (PKCS#12, RFC 7292), each time with another salt.

    :param certificates: by the aliases that Java is to have them under; at least one.
    :param passphrase: what it is encrypted with; None: nothing, Java reads it without one.
    :param legacy: whether Java 8 before 8u301 is to read it (3DES and SHA-1); counts with a passphrase only.
    :raises DependencyError: as :func:`refuse_old_cryptography`.
    """
    refuse_old_cryptography("a truststore")
    entries = [pkcs12.PKCS12Certificate(each, alias.encode()) for alias, each in certificates.items()]
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase and legacy:
        builder = serialization.PrivateFormat.PKCS12.encryption_builder()
        builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1())
        encryption = builder.build(passphrase.encode())
    elif passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return pkcs12.serialize_java_truststore(entries, encryption)
