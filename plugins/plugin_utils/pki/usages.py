# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a certificate is for: extended key usages (RFC 5280, 4.2.1.12) and key usages (4.2.1.3), in our words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import ExtendedKeyUsageOID, x509

USAGES = {
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "time_stamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "smartcard_logon": ExtendedKeyUsageOID.SMARTCARD_LOGON,
    "kerberos_pkinit_kdc": ExtendedKeyUsageOID.KERBEROS_PKINIT_KDC,
    "ipsec_ike": ExtendedKeyUsageOID.IPSEC_IKE,
}
# What TLS is about: every issuer makes such certificates.
TLS_USAGES = ("server_auth", "client_auth")
# RFC 5280, 4.2.1.12: good for everything.
ANY_USAGE = "2.5.29.37.0"
OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*)){1,30}")

# Our words, and OpenSSL's (x509v3_config(5)). Those of CAs are left out: a leaf may not sign certificates.
KEY_USAGES = {
    "digital_signature": "digitalSignature",
    "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "encipher_only": "encipherOnly",
    "decipher_only": "decipherOnly",
}


def parse_usage(text: object) -> str:
    """An extended key usage: one of our words, or a dotted OID; an OID that has a word becomes that word.

    :raises SpecError: neither, or one that would let the certificate be used for everything.
    """
    usage = str(text)
    if not usage[:1].isdigit():
        return one_of(usage, USAGES, "usages")
    if usage == ANY_USAGE:
        raise SpecError(f"usages: {usage} would be good for everything", remedy="name what it is for")
    try:
        valid = OID.fullmatch(usage) and x509.ObjectIdentifier(usage)
    except ValueError:
        valid = None
    if not valid:
        raise SpecError(
            f"usages: '{usage[:80]}' is not an object identifier",
            remedy="write numbers with dots, such as 1.3.6.1.5.5.7.3.1",
        )
    return usage_word(usage)


def usage_word(dotted: str) -> str:
    """The word of an extended key usage; the OID itself where it has none."""
    return next((word for word, oid in USAGES.items() if oid.dotted_string == dotted), dotted)


def usage_oid(usage: str) -> x509.ObjectIdentifier:
    """The OID of an extended key usage, in our words or dotted."""
    return USAGES[usage] if usage in USAGES else x509.ObjectIdentifier(usage)


def parse_key_usages(texts: Iterable[str]) -> tuple[str, ...]:
    """Key usages of a leaf, sorted.

    :raises SpecError: an unknown one, or one that needs another beside it.
    """
    usages = tuple(sorted({one_of(each, KEY_USAGES, "key_usages") for each in texts}))
    for only in ("encipher_only", "decipher_only"):
        if only in usages and "key_agreement" not in usages:
            raise SpecError(f"key_usages: {only} means nothing without key_agreement", remedy="add key_agreement")
    return usages


def key_usage_of(usages: Iterable[str], *, certificates: bool = False) -> x509.KeyUsage:
    """The extension with these usages, all others off.

    :param certificates: whether it signs certificates and CRLs, as a CA does.
    """
    chosen = set(usages)
    return x509.KeyUsage(
        **{usage: usage in chosen for usage in KEY_USAGES}, key_cert_sign=certificates, crl_sign=certificates
    )


def key_usages_of(extension: x509.KeyUsage) -> frozenset[str]:
    """Which of ``KEY_USAGES`` an extension has."""
    # The last two may be asked for only where the key agrees on others.
    asked = KEY_USAGES if extension.key_agreement else tuple(KEY_USAGES)[:-2]
    return frozenset(usage for usage in asked if getattr(extension, usage))
