# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust anchors as PEM texts: are they CA certificates, and whole."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import ExtensionOID, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.raw_certificate import extensions_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    parse_pem_chain,
    subject_text,
)


def parse_anchor_text(name: str, text: Any) -> tuple[x509.Certificate, ...]:
    """All certificates of one entry of ``anchors``; errors as :func:`parse_anchors`, naming the entry."""
    if not isinstance(text, str):
        raise SpecError(f"anchor '{name}' must be a PEM text")
    if "PRIVATE KEY-----" in text:
        raise SpecError(f"anchor '{name}' has a private key in it", remedy="give the certificate alone")
    try:
        return parse_pem_chain(text)
    except CertificateError as error:
        raise CertificateError(
            f"anchor '{name}': {error.message}", remedy="give its complete PEM text; nothing was changed"
        ) from error


def check_is_ca(source: str, certificate: x509.Certificate) -> None:
    """Refuse what may not sign certificates (RFC 5280, 4.2.1.9 and 4.2.1.3): it is most often a leaf by mistake.

    :raises CertificateError: no basic constraints, ``CA:FALSE``, or a key usage without keyCertSign.
    """
    extensions = {extension.oid: extension.value for extension in extensions_of(certificate)}
    constraints = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    usage = extensions.get(ExtensionOID.KEY_USAGE)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        raise CertificateError(
            f"anchor '{source}': '{subject_text(certificate)}' is not a CA certificate",
            remedy="give the CA's own certificate, not one that it issued",
        )
