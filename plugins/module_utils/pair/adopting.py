# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair that somebody else has put on the host, read so that it can become a generation of ours. Its key never leaves the host.

certbot, lego and others replace certificate and key one after the other, so what is read in between does not fit. It is read again then, and
what still does not fit is refused. The other tool's files are only ever read here.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest, read
from ansible_collections.fleet.tls.plugins.module_utils.files.places import named, refuse_unsafe
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.reading import (
    CERTIFICATE_LABELS,
    ENCRYPTED_KEY,
    KEY_LABELS,
    PEM_BLOCK,
)
from ansible_collections.fleet.tls.plugins.module_utils.pair.soundness import belongs

# Bytes; no pair in PEM is longer.
LONGEST_PAIR = 2**20
# Tools that replace a pair take milliseconds from its first file to its last.
TRIES, PAUSE = 5, 0.2
ENCRYPTED_BODY = b"Proc-Type: 4,ENCRYPTED"
# HAProxy's files may have those of Diffie-Hellman, and OpenSSL writes the curve's name before its older form of a key.
PARAMETERS = b" PARAMETERS"
# The forms of outputs that are PEM blocks and nothing else, so that what is in a file can be compared.
COMPARED = ("cert", "chain", "fullchain", "privkey", "combined")


def adoptable(source: Mapping[str, Any]) -> dict[str, Any] | None:
    """What there is to take over, without the key.

    :param source: ``{certificate, private_key}``, paths.
    :returns: ``{chain: [PEM, the leaf first], error: StepError as answer or None}``; None: there is nothing at either path.
    """
    if not any(os.path.lexists(source[each]) for each in ("certificate", "private_key")):
        return None
    try:
        chain, _key = present_pair(source)
    except StepError as error:
        return {"chain": [], "error": error.as_answer()}
    return {"chain": [pem.decode() for pem in chain], "error": None}


def present_pair(source: Mapping[str, Any]) -> tuple[list[bytes], bytes]:
    """The certificates (PEM, normal form, as they stand in the file) and the private key (PEM, as it stands in its file).

    :raises StepError: adopt_missing, adopt_unreadable, adopt_encrypted, adopt_mismatch, unsafe_path, openssl_missing.
    """
    for left in reversed(range(TRIES)):
        chain = certificates_in(read_source(source["certificate"]), source["certificate"])
        key = key_in(read_source(source["private_key"]), source["private_key"])
        if fits(key, chain[0]):
            return chain, key
        if left:
            time.sleep(PAUSE)
    raise StepError(
        "adopt_mismatch",
        f"the private key in {source['private_key']} does not belong to the certificate in {source['certificate']}",
        "name the key that does; run again if another program is renewing it just now; nothing was changed",
    )


def fits(key: bytes, leaf: bytes) -> bool:
    """Whether they are a pair; what cannot be read is none.

    :raises StepError: openssl_missing.
    """
    try:
        return belongs(key, leaf)
    except StepError as error:
        if error.code == "openssl_missing":
            raise
        return False


def adopted_key(source: Mapping[str, Any], leaf: bytes) -> bytes:
    """The private key of a pair that the controller has agreed to take over; errors as :func:`present_pair`.

    :param leaf: the certificate (PEM) that it agreed to.
    :raises StepError: adopt_changed: another one lies there by now.
    """
    chain, key = present_pair(source)
    if only_block(chain[0]) != only_block(leaf):
        raise StepError(
            "adopt_changed",
            f"{source['certificate']} has another certificate than a moment ago",
            "run again when the program that renews it has ended; nothing was changed",
        )
    return key


def read_source(path: str) -> bytes:
    """A file that the inventory names, behind however many links.

    :raises StepError: adopt_missing, unsafe_path, not_permitted, io.
    """
    real = os.path.realpath(path)
    try:
        refuse_unsafe(path, real)
        refuse_borrowed(path, real)
        return read(real, longest=LONGEST_PAIR)
    except FileNotFoundError:
        raise StepError(
            "adopt_missing",
            f"there is nothing at {path}",
            "name the file, or leave adopt out to have a new pair issued",
        ) from None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error


def refuse_borrowed(path: str, real: str) -> None:
    """An ordinary user's link to somebody else's file would have root hand that out.

    :raises StepError: unsafe_path. OSErrors as they come.
    """
    owner, target = os.lstat(path).st_uid, os.stat(real).st_uid
    if owner not in (0, target) and os.geteuid() == 0:
        raise StepError(
            "unsafe_path",
            f"unsafe path transition: {path} belongs to {named(owner)} and leads to {real}, which belongs to {named(target)}",
            f"name {real} itself, if it is meant; nothing was changed",
        )


def certificates_in(data: bytes, path: str) -> list[bytes]:
    """The certificates of a PEM file.

    :raises StepError: adopt_unreadable.
    """
    found = [as_pem(b"CERTIFICATE", body) for label, body in blocks(data, path) if label in CERTIFICATE_LABELS[:2]]
    if not found:
        raise StepError(
            "adopt_unreadable",
            f"there is no certificate in {path} that can be read as PEM",
            "turn it into PEM first, with openssl x509 -inform DER or openssl pkcs12",
        )
    return found


def key_in(data: bytes, path: str) -> bytes:
    """The one private key of a PEM file, as it stands there.

    :raises StepError: adopt_unreadable, adopt_encrypted.
    """
    found = [match.group(0) for match in PEM_BLOCK.finditer(data) if match.group(1) in KEY_LABELS]
    if len(found) != 1:
        raise StepError(
            "adopt_unreadable",
            f"{path} has {len(found) or 'no'} private keys that can be read as PEM",
            "name a file with the one key, in PEM",
        )
    if ENCRYPTED_KEY in found[0] or ENCRYPTED_BODY in found[0]:
        raise StepError(
            "adopt_encrypted",
            f"the private key in {path} is encrypted",
            "write it without a passphrase (openssl pkey) to a file with mode 0600, and name that",
        )
    return found[0].replace(b"\r\n", b"\n") + b"\n"


def blocks(data: bytes, path: str) -> list[tuple[bytes, bytes]]:
    """The PEM blocks of a file: label and content.

    :raises StepError: adopt_unreadable.
    """
    try:
        return [
            (match.group(1), base64.b64decode(b"".join(match.group(2).split()), validate=True))
            for match in PEM_BLOCK.finditer(data)
            if match.group(1) in CERTIFICATE_LABELS
        ]
    except ValueError:
        raise StepError(
            "adopt_unreadable", f"a certificate in {path} is damaged", "replace it; nothing was changed"
        ) from None


def as_pem(label: bytes, der: bytes) -> bytes:
    """PEM in its one normal form (RFC 7468, section 3: lines of 64)."""
    text = base64.b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN " + label + b"-----", *lines, b"-----END " + label + b"-----", b""])


def only_block(pem: bytes) -> bytes:
    """What a single PEM block holds."""
    match = PEM_BLOCK.search(pem)
    return b"".join(match.group(2).split()) if match else b""


def present_content(output: Mapping[str, Any], content: bytes) -> bytes | None:
    """What lies at an output's path, where it says the same as what is to be put there; None: it does not, or cannot be compared.

    The same certificates in the same order, and the same key, with whatever stands between them: text, blank lines, parameters.
    """
    if output["format"] not in COMPARED:
        return None
    try:
        present = read(os.path.realpath(output["path"]), longest=LONGEST_PAIR)
    except OSError:
        return None
    labels = {match.group(1) for match in PEM_BLOCK.finditer(present)}
    # Anything else, some other program's key say, is not for whoever may read the output.
    strange = {
        each for each in labels if each not in (*CERTIFICATE_LABELS, *KEY_LABELS) and not each.endswith(PARAMETERS)
    }
    return present if not strange and meaning(present) == meaning(content) else None


def meaning(data: bytes) -> tuple[Sequence[str], Sequence[bytes]]:
    """What servers take out of a PEM file: the certificates in their order, and the private keys."""
    found: dict[bool, list[bytes]] = {True: [], False: []}
    for match in PEM_BLOCK.finditer(data):
        if match.group(1) in CERTIFICATE_LABELS or match.group(1) in KEY_LABELS:
            found[match.group(1) in KEY_LABELS].append(b"".join(match.group(2).split()))
    return [digest(each) for each in found[False]], found[True]
