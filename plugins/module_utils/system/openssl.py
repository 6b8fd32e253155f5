# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, CSRs and pair checks with the ``openssl`` program, 1.1.1 to 3.5; ML-DSA with 3.5 and newer.

A private key goes in and out through pipes or a file of root's, never on a command line.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import in_memory

SECONDS = 120.0
WORDS_KEPT = 600

KEY_OPTIONS: dict[str, tuple[str, ...]] = {
    "ecdsa-p256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"),
    "ecdsa-p384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-pkeyopt", "ec_param_enc:named_curve"),
    "rsa-2048": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "rsa-3072": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"),
    "rsa-4096": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"),
    "ed25519": ("-algorithm", "ED25519"),
    "ed448": ("-algorithm", "ED448"),
    "ml-dsa-44": ("-algorithm", "ML-DSA-44"),
    "ml-dsa-65": ("-algorithm", "ML-DSA-65"),
    "ml-dsa-87": ("-algorithm", "ML-DSA-87"),
}
POST_QUANTUM = ("ml-dsa-44", "ml-dsa-65", "ml-dsa-87")
# Of OpenSSL, with ML-DSA.
NEEDED = (3, 5)
# Of the passphrase of a key by itself: a tenth of a second for whoever reads it.
ITERATIONS = "100000"
VERSION = re.compile(r"OpenSSL (\d+)\.(\d+)\.(\d+)")
USAGES = {"server_auth": "serverAuth", "client_auth": "clientAuth"}


@functools.lru_cache(maxsize=1)
def program() -> str:
    """Path of the program.

    :raises StepError: openssl_missing.
    """
    path = shutil.which(
        "openssl", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/bin", "/usr/bin"])
    )
    if path is None:
        raise StepError(
            "openssl_missing", "the program 'openssl' is not on the host", "install the package openssl there"
        )
    return path


def call(arguments: Sequence[str], data: bytes = b"", descriptors: Sequence[int] = ()) -> bytes:
    """Run it; its standard output. Without AnsibleModule, which would keep what goes in and out for its results.

    :param data: what it gets on standard input.
    :param descriptors: what else it is to find open.
    :raises StepError: openssl_missing, openssl_failed (with its own words, which hold no key).
    """
    # The host's openssl.cnf may demand engines or policies that have nothing to do with what is done here.
    environment = dict(os.environ, LC_ALL="C", OPENSSL_CONF=os.devnull)
    try:
        ended = subprocess.run(  # pylint: disable=ansible-bad-function
            [program(), *arguments],
            input=data,
            capture_output=True,
            pass_fds=tuple(descriptors),
            env=environment,
            timeout=SECONDS,
            check=False,
            # No terminal to ask for a password on, as 1.1.1 does where it was given an empty one.
            start_new_session=True,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise StepError("openssl_failed", f"openssl {arguments[0]}: {error}", "see what keeps it on the host") from None
    if ended.returncode != 0:
        # Its first line is for people, the last ones are for its authors.
        words = ended.stderr.decode(errors="replace").strip()[:WORDS_KEPT]
        raise StepError(
            "openssl_failed",
            f"openssl {arguments[0]}: {words or f'it ended with {ended.returncode}'}",
            f"see whether 'openssl {arguments[0]}' works on the host",
        )
    return ended.stdout


def generate_key(algorithm: str) -> bytes:
    """A new private key, PKCS#8 PEM, unencrypted.

    :param algorithm: one of :data:`KEY_OPTIONS`.
    :raises StepError: openssl_missing, openssl_failed; openssl_too_old: it does not know the algorithm.
    """
    if algorithm in POST_QUANTUM:
        refuse_too_old(algorithm, version())
    return call(["genpkey", *KEY_OPTIONS[algorithm]])


def version() -> tuple[int, ...]:
    """Of the program: ``(3, 5, 6)``; empty where it does not say.

    :raises StepError: openssl_missing, openssl_failed.
    """
    match = VERSION.match(call(["version"]).decode(errors="replace"))
    return tuple(map(int, match.groups())) if match else ()


def refuse_too_old(algorithm: str, found: Sequence[int]) -> None:
    """:raises StepError: openssl_too_old: a version of OpenSSL that does not know ML-DSA."""
    if tuple(found) < NEEDED:
        raise StepError(
            "openssl_too_old",
            f"{algorithm} needs OpenSSL {'.'.join(map(str, NEEDED))} or newer on the host,"
            f" which has {'.'.join(map(str, found)) or 'an unknown version'}",
            "give it another private_key.algorithm on this host, or a host with a newer system (Debian 13, RHEL 10)",
        )


def public_key_of_key(key: bytes) -> bytes:
    """The public half (SubjectPublicKeyInfo, PEM) of a private key (PEM).

    :raises StepError: openssl_failed: it is none.
    """
    # Without -passin it would wait for the password of an encrypted key.
    return call(["pkey", "-pubout", "-passin", "pass:"], key)


def public_key_of_certificate(certificate: bytes) -> bytes:
    """The public key (SubjectPublicKeyInfo, PEM) in a certificate (PEM).

    :raises StepError: openssl_failed: it is none.
    """
    return call(["x509", "-noout", "-pubkey"], certificate)


def issued(lowers: Sequence[bytes], upper: bytes) -> bool:
    """Whether certificates (PEM), 100 at most, were all issued by another, by name and signature, whatever the dates. One process for all.

    :raises StepError: openssl_missing.
    """
    with contextlib.ExitStack() as stack:
        trusted, *files = [stack.enter_context(in_memory(content)) for content in (upper, *lowers)]
        arguments = ["-partial_chain", "-no_check_time", "-auth_level", "0", "-trusted"]
        try:
            call(
                ["verify", *arguments, *map("/proc/self/fd/{0}".format, (trusted, *files))],
                descriptors=(trusted, *files),
            )
        except StepError as error:
            if error.code != "openssl_failed":
                raise
            return False
    return True


def key_algorithm(key: bytes) -> str | None:
    """What kind of key it is, None: none of ours."""
    lines = call(["pkey", "-noout", "-text_pub", "-passin", "pass:"], key).decode(errors="replace")
    for name in ("ED25519", "ED448", *map(str.upper, POST_QUANTUM)):
        if f"{name} Public-Key" in lines:
            return name.lower()
    for curve, name in (("P-256", "ecdsa-p256"), ("P-384", "ecdsa-p384")):
        if f"NIST CURVE: {curve}" in lines:
            return name
    for bits in ("2048", "3072", "4096"):
        if "Modulus:" in lines and f"({bits} bit" in lines:
            return f"rsa-{bits}"
    return None


def request_configuration(subject: dict[str, Any]) -> str:
    """The configuration that makes ``openssl req`` ask for exactly these names (config(5), req(1), x509v3_config(5)).

    :param subject: ``{"common_name", "subject": [[part, value]], "sans": [[type, value]], "usages", "key_usages", "must_staple"}``; usages
        are words of ours or dotted, key usages in OpenSSL's words (empty: to sign).
    """
    counters: dict[str, int] = {}
    names = []
    for kind, value in subject["sans"]:
        counters[kind] = counters.get(kind, 0) + 1
        names.append(f"{kind}.{counters[kind]} = {escaped(value)}")
    usages = ", ".join(USAGES.get(usage, usage) for usage in subject["usages"])
    common_name = subject.get("common_name")
    parts = [*subject.get("subject", ()), *([["CN", common_name]] if common_name else [])]
    lines = [
        "[req]",
        "prompt = no",
        "utf8 = yes",
        "string_mask = utf8only",
        "distinguished_name = subject",
        "req_extensions = extensions",
        "[subject]",
        # A part may stand there several times; what is before the dot does not count.
        *(f"{place}.{part} = {escaped(value)}" for place, (part, value) in enumerate(parts)),
        "[extensions]",
        # Some CAs copy it as it is; critical, where it is all there is of names (RFC 5280, 4.2.1.6).
        f"subjectAltName = {'' if parts else 'critical, '}@names",
        f"keyUsage = critical, {', '.join(subject.get('key_usages') or ['digitalSignature'])}",
        f"extendedKeyUsage = {usages}",
        # RFC 7633.
        *(["tlsfeature = status_request"] if subject.get("must_staple") else []),
        "[names]",
        *names,
    ]
    return "\n".join(lines) + "\n"


def escaped(value: str) -> str:
    """A value as config(5) reads it back unchanged.

    :raises StepError: bad_input: a line break, which no value can have.
    """
    if "\n" in value or "\r" in value or "\0" in value:
        raise StepError("bad_input", "a name with a line break")
    return "".join("\\" + letter if letter in "\\\"'$#;" else letter for letter in value)


def make_csr(key: bytes, subject: dict[str, Any]) -> bytes:
    """A CSR (PKCS#10, PEM).

    :param key: PEM.
    :param subject: as in :func:`request_configuration`.
    """
    with in_memory(key) as private, in_memory(request_configuration(subject).encode()) as configuration:
        paths = [f"/proc/self/fd/{descriptor}" for descriptor in (private, configuration)]
        arguments = ["req", "-new", "-key", paths[0], "-config", paths[1]]
        if not subject.get("common_name") and not subject.get("subject"):
            arguments += ["-subj", "/"]
        return call(arguments, descriptors=(private, configuration))


def traditional(key: bytes) -> bytes:
    """A private key (PEM) in the form of its own kind, PEM: PKCS#1 for RSA, SEC1 for EC."""
    return call(["pkey", "-traditional", "-passin", "pass:"], key)


def encrypted(key: bytes, passphrase: str) -> bytes:
    """A private key (PEM) as PKCS#8 (RFC 5958) under a passphrase, PEM, by PBES2 (RFC 8018)."""
    with in_memory(passphrase.encode() + b"\n") as secret:
        how = ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", ITERATIONS]
        return call(["pkcs8", "-topk8", *how, "-passin", "pass:", "-passout", f"fd:{secret}"], key, (secret,))


def pkcs12(key: bytes, certificates: bytes, name: str, passphrase: str | None = None, *, legacy: bool = False) -> bytes:
    """Key and certificates as PKCS#12 (RFC 7292), for programs that want that form.

    :param certificates: PEM: the leaf, and in any order what else is to go in.
    :param passphrase: what it is encrypted with; None: an empty one. Many programs of the Java and Windows worlds insist on one.
    :param legacy: whether programs are to read it that know nothing newer than 3DES and SHA-1: Windows before 10 (1709) and Server 2019,
        Java 8 before 8u301.
    """
    # What 1.1.1 would choose (RC2, SHA-1) is not read by those that came after it; 3DES is read by both.
    cipher, digest = ("PBE-SHA1-3DES", "SHA1") if legacy else ("AES-256-CBC", "SHA256")
    how = ["-keypbe", cipher, "-certpbe", cipher, "-macalg", digest]
    with in_memory(certificates) as chain, in_memory((passphrase or "").encode() + b"\n") as secret:
        arguments = ["pkcs12", "-export", "-in", f"/dev/fd/{chain}", "-inkey", "/dev/stdin", "-name", name]
        return call([*arguments, *how, "-passout", f"fd:{secret}"], key, (chain, secret))
