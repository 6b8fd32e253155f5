# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a certificate says what was asked for and no more. Pure; where it leads is ``chains.check_chain``'s part."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import ExtendedKeyUsageOID, NameOID, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.raw_certificate import extensions_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import missing_parts
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.suitability import covers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import key_usages_of, usage_word
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    Names,
    alternative_names,
    extension_of,
    is_issued_by,
    iso,
    key_id,
    names_of,
    usages_of,
)

# Usages that no name bounds: to sign programs, moments, or answers about other certificates of the same CA.
# Others are left to the issuer: public CAs give client_auth with server_auth, templates of Windows give more.
UNBOUNDED = {
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any usage",
    ExtendedKeyUsageOID.CODE_SIGNING: "code signing",
    ExtendedKeyUsageOID.TIME_STAMPING: "time stamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSP signing",
}


def check_issued(
    chain: Sequence[x509.Certificate],
    *,
    names: Names,
    usages: Sequence[str],
    key: str,
    now: dt.datetime,
    key_usages: Sequence[str] = (),
    ready_made: bool = False,
) -> None:
    """Check that an issuer gave what was asked for.

    What goes beyond is refused as well: a certificate must not speak for more than was asked. An issuer may leave the common name
    out or take one of the names for it, and may add what gives no rights: policies, SCTs, places of CRLs, an organisation.

    :param key: key id (see :func:`key_id`) of the key the request was made for.
    :param key_usages: those that were asked for; empty: the issuer chose.
    :param ready_made: others made it, and nobody could ask them for anything: more names are fine, and so is all that they may be used for.
    :raises CertificateError: another key, other names or usages, a CA, or dates that do not cover ``now``.
    """
    leaf = chain[0]
    if key_id(leaf.public_key()) != key:
        raise CertificateError("the issuer answered with a certificate for another key")
    check_names(leaf, names, ready_made=ready_made)
    missing = set(usages) - set(usages_of(leaf))
    if missing:
        raise CertificateError(f"the issuer left out the usage {', '.join(sorted(missing))}")
    # Self-signed ones are made as CAs by most tools; they are trusted by themselves, for what is in them.
    if may_sign(leaf) and not (ready_made and is_issued_by(leaf, leaf)):
        raise CertificateError("the issuer answered with a certificate that could sign others: a CA")
    if not ready_made:
        check_subject(leaf, names, key_usages)
    unbounded = set() if ready_made else unbounded_usages(leaf, usages)
    if unbounded:
        raise CertificateError(f"the issuer answered with a certificate for {', '.join(sorted(unbounded))}")
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        raise CertificateError(
            f"the issuer answered with a certificate that is not valid now ({iso(leaf.not_valid_before_utc)}"
            f" to {iso(leaf.not_valid_after_utc)})"
        )


def check_names(leaf: x509.Certificate, names: Names, *, ready_made: bool) -> None:
    """Check who a certificate speaks for, in its alternative names and in its subject; parameters as :func:`check_issued`.

    :raises CertificateError: not for all ``names``; for others, where it is not ready-made.
    """
    has, wanted = names_of(leaf).sans(), names.sans()
    if ready_made and covers(names_of(leaf), names):
        return
    # Names of kinds that this collection never asks for are in ``alternative_names`` only.
    others = len(alternative_names(leaf)) - len(has)
    if has != wanted or others:
        got = ", ".join([value for _kind, value in has] + ["names of other kinds"] * bool(others)) or "none"
        want = ", ".join(value for _kind, value in wanted)
        raise CertificateError(f"the issuer answered with other names ({shortened(got)}) than asked for ({want})")
    fitting = {value.lower() for _kind, value in wanted} | {(names.common_name or "").lower()}
    for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        if str(attribute.value).lower() not in fitting:
            raise CertificateError(
                f"the issuer answered with the common name '{shortened(attribute.value)}', which was not asked for"
            )


def check_subject(leaf: x509.Certificate, names: Names, key_usages: Sequence[str]) -> None:
    """:raises CertificateError: a part of the subject, or a key usage, that was asked for was left out."""
    missing = [*missing_parts(names.subject, leaf.subject)]
    extension = extension_of(leaf, x509.KeyUsage)
    if extension is not None:
        missing += sorted(set(key_usages) - key_usages_of(extension))
    if missing:
        raise CertificateError(f"the issuer left out {', '.join(missing)}")


def may_sign(leaf: x509.Certificate) -> bool:
    """Whether somebody could take what its key signs for a certificate or a CRL (RFC 5280, 4.2.1.3 and 4.2.1.9)."""
    for extension in extensions_of(leaf):
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            return True
        if isinstance(value, x509.KeyUsage) and (value.key_cert_sign or value.crl_sign):
            return True
    return False


def unbounded_usages(leaf: x509.Certificate, asked: Sequence[str]) -> set[str]:
    """Which of :data:`UNBOUNDED` it has that nobody asked for, in words."""
    usages = extension_of(leaf, x509.ExtendedKeyUsage) or ()
    return {UNBOUNDED[usage] for usage in usages if usage in UNBOUNDED and usage_word(usage.dotted_string) not in asked}
