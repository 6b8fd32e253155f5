# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents of others allow an endpoint to accept, as data. Pure.

A rule's number is given where its text was read for this. Where only the document is named, look the rule up there.
"""

from __future__ import annotations

from dataclasses import dataclass

TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
MOZILLA_GROUPS = ("x25519", "secp256r1", "secp384r1")
# BSI's part 1 takes SHA-256 and better, on its own and NIST's curves.
BSI_SCHEMES = (
    "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512", "rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384",
    "rsa_pss_rsae_sha512", "rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512", "ecdsa_brainpoolP256r1tls13_sha256",
    "ecdsa_brainpoolP384r1tls13_sha384", "ecdsa_brainpoolP512r1tls13_sha512",
)  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """What a document allows; None: it says nothing of that.

    :param document: its name and version; :param source: where it is.
    :param rules: what is judged (``protocols``, ``suites``, ``groups``, ``signature_schemes``) → the rule's number, where its text was read.
    :param protocols, suites, groups, schemes: all that is allowed, by the names of the registries. A group ``dh-2048`` allows all finite
        fields of so many bits, and of more.
    :param required: versions that have to be accepted.
    :param refused_words: suites with one of these in their name are not allowed, all others are; empty: see ``suites``.
    """

    document: str
    source: str
    protocols: tuple[str, ...] | None = None
    suites: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    schemes: tuple[str, ...] | None = None
    required: tuple[str, ...] = ()
    refused_words: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()


MOZILLA_INTERMEDIATE_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)
MOZILLA_OLD_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
)
BSI_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_128_CCM",
    "TLS_DHE_RSA_WITH_AES_256_CCM",
)
NIST_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_128_CCM",
    "TLS_DHE_RSA_WITH_AES_256_CCM",
    "TLS_DHE_RSA_WITH_AES_128_CCM_8",
    "TLS_DHE_RSA_WITH_AES_256_CCM_8",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
)

PROFILES = {
    "mozilla_modern": Profile(
        "Mozilla Server Side TLS 6.0, modern",
        "https://ssl-config.mozilla.org/guidelines/6.0.json",
        protocols=("TLSv1.3",),
        suites=TLS13_SUITES,
        groups=("X25519MLKEM768", *MOZILLA_GROUPS),
        required=("TLSv1.3",),
        rules=(("protocols", "tls_versions"), ("suites", "ciphersuites"), ("groups", "tls_curves")),
    ),
    "mozilla_intermediate": Profile(
        "Mozilla Server Side TLS 6.0, intermediate",
        "https://ssl-config.mozilla.org/guidelines/6.0.json",
        protocols=("TLSv1.3", "TLSv1.2"),
        suites=(*TLS13_SUITES, *MOZILLA_INTERMEDIATE_SUITES),
        groups=("X25519MLKEM768", *MOZILLA_GROUPS),
        required=("TLSv1.3", "TLSv1.2"),
        rules=(("protocols", "tls_versions"), ("suites", "ciphersuites, ciphers"), ("groups", "tls_curves")),
    ),
    # 6.0 has no such profile any more.
    "mozilla_old": Profile(
        "Mozilla Server Side TLS 5.8, old",
        "https://ssl-config.mozilla.org/guidelines/5.8.json",
        protocols=("TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1"),
        suites=(*TLS13_SUITES, *MOZILLA_OLD_SUITES),
        groups=(*MOZILLA_GROUPS, "dh-1024"),
        required=("TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1"),
        rules=(
            ("protocols", "tls_versions"),
            ("suites", "ciphersuites, ciphers"),
            ("groups", "tls_curves, dh_param_size"),
        ),
    ),
    "bsi_tr_02102_2": Profile(
        "BSI TR-02102-2, version 2025-01",
        "https://www.bsi.bund.de/TR-02102",
        protocols=("TLSv1.3", "TLSv1.2"),
        suites=("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_AES_128_CCM_SHA256", *BSI_SUITES),
        groups=(
            "secp256r1",
            "secp384r1",
            "secp521r1",
            "brainpoolP256r1",
            "brainpoolP384r1",
            "brainpoolP512r1",
            "brainpoolP256r1tls13",
            "brainpoolP384r1tls13",
            "brainpoolP512r1tls13",
            "ffdhe3072",
            "ffdhe4096",
            "dh-3072",
        ),
        schemes=(*BSI_SCHEMES, "rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512"),
    ),
    "nist_sp_800_52r2": Profile(
        "NIST SP 800-52 revision 2, August 2019",
        "https://doi.org/10.6028/NIST.SP.800-52r2",
        protocols=("TLSv1.3", "TLSv1.2"),
        suites=(
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_256_GCM_SHA384",
            "TLS_AES_128_CCM_SHA256",
            "TLS_AES_128_CCM_8_SHA256",
            *NIST_SUITES,
        ),
        required=("TLSv1.3", "TLSv1.2"),
    ),
    # It names no suites and no groups: "only secure versions or configurations", and 112 bits of effective key strength in its glossary.
    "pci_dss_4_0_1": Profile(
        "PCI DSS 4.0.1, June 2024",
        "https://www.pcisecuritystandards.org/document_library/",
        protocols=("TLSv1.3", "TLSv1.2", "TLSv1.1"),
        refused_words=("_NULL_", "_anon_", "_EXPORT", "_DES_CBC_", "_DES40_", "_RC2_CBC_40", "_RC4_40", "_RC4_56"),
        rules=(("protocols", "4.2.1"), ("suites", "4.2.1")),
    ),
}
