# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate signing requests (RFC 2986): those made here, and those of hosts, which say what the inventory says and nothing else."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import signature_hash
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import distinguished_name
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import key_usage_of, usage_oid
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    UNREADABLE,
    alternative_names,
    general_names,
    key_algorithm,
    must_staple,
    names_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec

# PKCS #9 (RFC 2985, 5.4.2). There is a second one of Microsoft's, which openssl reads as well.
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"


def make_csr(private_key: object, spec: CertificateSpec) -> x509.CertificateSigningRequest:
    """A CSR (RFC 2986) for the wish's names, as hosts make theirs: without a subject, the alternative names are critical."""
    subject = distinguished_name(spec.names.subject, spec.names.common_name)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName(general_names(spec.names)), critical=not list(subject))
    if spec.must_staple:
        builder = builder.add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False)
    return builder.sign(private_key, signature_hash(private_key))  # type: ignore[arg-type]


def parse_csr(pem: str, spec: CertificateSpec) -> x509.CertificateSigningRequest:
    """A host's CSR, when it proves its key and says what the wish says and nothing else.

    All of it counts: some CAs copy whatever they find there (a subject, extensions) into the certificate.

    :raises CertificateError: it does not.
    """
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        signed, algorithm = csr.is_signature_valid, key_algorithm(csr.public_key())
        staple, beyond = must_staple(csr), said_beyond(csr, spec)
        names, count = names_of(csr), len(alternative_names(csr))
    except UNREADABLE as error:
        raise CertificateError(f"the host's CSR cannot be read: {error}", certificate=spec.name) from error
    if not signed:
        raise CertificateError("the host's CSR is not signed by its own key", certificate=spec.name)
    if names.sans() != spec.names.sans() or count != len(spec.names.sans()):
        raise CertificateError("the host's CSR asks for other names than the inventory", certificate=spec.name)
    if algorithm != spec.private_key.algorithm:
        raise CertificateError(
            f"the host's key is {algorithm}, not {spec.private_key.algorithm}", certificate=spec.name
        )
    if spec.must_staple != staple:
        raise CertificateError("the host's CSR is not what was asked for as to must_staple", certificate=spec.name)
    if beyond:
        raise CertificateError(
            f"the host's CSR says more than the inventory: {shortened(beyond)}",
            remedy=f"unless somebody has taken over the host, remove pending/{spec.name} from the directory of its certificates",
            certificate=spec.name,
        )
    return csr


def said_beyond(csr: x509.CertificateSigningRequest, spec: CertificateSpec) -> str | None:
    """What a CSR says beyond its names and the wish, in words; None: nothing."""
    if csr.subject != distinguished_name(spec.names.subject, spec.names.common_name):
        return f"subject '{csr.subject.rfc4514_string()}'"
    attributes = [attribute.oid.dotted_string for attribute in csr.attributes]
    if attributes not in ([], [EXTENSION_REQUEST]):
        return f"attributes {', '.join(attributes)}"
    for extension in csr.extensions:
        if not is_wanted(extension.value, spec):
            return f"extension {extension.oid._name} ({extension.oid.dotted_string})"  # pylint: disable=protected-access
    return None


def is_wanted(value: x509.ExtensionType, spec: CertificateSpec) -> bool:
    """Whether an extension is one of those that hosts are told to ask for, with just that in it.

    Alternative names are compared elsewhere.
    """
    if isinstance(value, x509.KeyUsage):
        return value == key_usage_of(spec.key_usages or ("digital_signature",))
    if isinstance(value, x509.ExtendedKeyUsage):
        return set(value) == set(map(usage_oid, spec.usages))
    if isinstance(value, x509.TLSFeature):
        return spec.must_staple and list(value) == [x509.TLSFeatureType.status_request]
    return isinstance(value, x509.SubjectAlternativeName)
