# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in the files of a host: where to look, the request, and what the answer means. No Ansible, no files."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.steps.files import SALT_BYTES
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.partial_certificate import (
    describe_partly,
    extensions_apart,
    public_key_digest,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    UNREADABLE,
    certificate_key_id,
    describe,
    extension_of,
    is_issued_by,
)

# Where servers and their administrators keep certificates; {directory} is the collection's own. What is not there is passed over.
PATHS = (
    "{directory}/live/*",
    "/etc/ssl", "/etc/pki/tls", "/etc/pki/nginx", "/etc/letsencrypt/live", "/etc/nginx", "/etc/apache2", "/etc/httpd", "/etc/haproxy",
    "/etc/lighttpd", "/etc/caddy", "/etc/postfix", "/etc/exim4", "/etc/dovecot", "/etc/postgresql", "/var/lib/postgresql/*/*/*.crt",
    "/var/lib/postgresql/*/*/*.key", "/var/lib/pgsql/data/*.crt", "/var/lib/pgsql/data/*.key", "/etc/mysql", "/etc/redis", "/etc/ldap",
    "/etc/openldap", "/etc/stunnel", "/etc/openvpn", "/etc/freeradius", "/etc/rabbitmq", "/etc/elasticsearch", "/etc/cockpit/ws-certs.d",
    "/etc/tomcat*", "/etc/kubernetes/pki",
)  # fmt: skip
# Whom the system trusts; nobody serves these.
TRUST_STORES = (
    "/usr/share/ca-certificates/*", "/usr/local/share/ca-certificates/*", "/usr/share/pki/*", "/etc/pki/ca-trust/*", "/etc/pki/java/*",
    "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/java/*", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/certs/ca-bundle*",
    "/etc/pki/tls/cert.pem", "/var/lib/ca-certificates/*", "/etc/ca-certificates/*",
)  # fmt: skip
# Debian's package ssl-cert makes the first, so that servers start before they have a certificate; the others are what lay where our outputs
# lie now, and nobody serves them.
EXCLUDE = ("*/ssl-cert-snakeoil.*", "*/.*.before-fleet-tls")
FACTS = ("path", "format", "size", "owner", "group", "mode", "managed", "error")
# A path can be as long (PATH_MAX).
LONGEST_TEXT = 4096
MOST_PASSPHRASES = 20


@dataclass(frozen=True)
class Search:
    """Where to look.

    :param passphrases: what encrypted keys and keystores are tried with.
    """

    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    directory: str
    passphrases: tuple[str, ...]

    def as_request(self) -> dict[str, Any]:
        """Step ``files`` of docs/host-protocol.md."""
        return {"paths": list(self.paths), "exclude": list(self.exclude), "directory": self.directory}

    def secrets(self) -> dict[str, str]:
        """What must not stand in the request; salted, as Ansible masks a secret wherever it stands in an answer, and "1234" stands in many
        a digest."""
        salted = (base64.b64encode(os.urandom(SALT_BYTES) + each.encode()) for each in self.passphrases)
        return {f"{place:02}": each.decode() for place, each in enumerate(salted)}


def parse_search(
    paths: Sequence[Any] | None,
    exclude: Sequence[Any] | None,
    passphrases: Sequence[Any],
    *,
    trust_stores: bool,
    directory: str,
) -> Search:
    """The options of ``fleet.tls.certificate_files_info``.

    :param paths: None: :data:`PATHS`; :param exclude: None: :data:`EXCLUDE`.
    :raises SpecError: a path that is not absolute; passphrases that are none, or too many.
    """
    wanted = (
        [str(each) for each in paths] if paths is not None else [each.format(directory=directory) for each in PATHS]
    )
    for path in wanted:
        if not path.startswith("/") or "\0" in path:
            raise SpecError(f"paths: '{path}' is not an absolute path", remedy="start it with a slash")
    secrets = tuple(str(each) for each in passphrases)
    if len(secrets) > MOST_PASSPHRASES or not all(each and each.isprintable() for each in secrets):
        raise SpecError(
            f"passphrases: more than {MOST_PASSPHRASES}, an empty one, or one that is not printable",
            remedy="give those of your keystores, one each",
        )
    return Search(
        paths=tuple(posixpath.normpath(path) for path in wanted),
        exclude=(*(EXCLUDE if exclude is None else map(str, exclude)), *(() if trust_stores else TRUST_STORES)),
        directory=directory,
        passphrases=secrets,
    )


def read_files(answer: Mapping[str, Any], now: dt.datetime) -> list[dict[str, Any]]:
    """The files as they stand in the result, see RETURN of ``fleet.tls.certificate_files_info``.

    :raises HostError: the answer does not have the agreed shape.
    """
    try:
        certificates = {str(name): read_der(text, now) for name, text in answer["certificates"].items()}
        found = [read_file(raw, certificates) for raw in answer["files"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HostError("the host's answer does not have the agreed shape", code="bad_answer") from error
    tie_keys(found)
    return found


def read_der(text: str, now: dt.datetime) -> dict[str, Any]:
    """One certificate; one that cannot be read as a whole has ``error``, and what can be read of it."""
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
    try:
        return described(x509.load_der_x509_certificate(der), now)
    except UNREADABLE as error:
        return {**described_partly(der, now), "error": printable(error) or type(error).__name__}


def described(certificate: x509.Certificate, now: dt.datetime) -> dict[str, Any]:
    """A certificate as results have it, with what matters for a file that nobody looks after."""
    return {
        **describe(certificate, now),
        "ca": is_ca(certificate),
        "self_signed": is_issued_by(certificate, certificate),
        "public_key_sha256": certificate_key_id(certificate),
        "error": None,
    }


def described_partly(der: bytes, now: dt.datetime) -> dict[str, Any]:
    """The fields of :func:`described`, as far as they can be read; None for what cannot."""
    return {
        **describe_partly(der, now),
        "ca": any(is_ca(alone) for alone in extensions_apart(der)),
        "self_signed": None,
        "public_key_sha256": public_key_digest(der),
    }


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it may issue others (RFC 5280, 4.2.1.9); one so old that it cannot say so counts as none."""
    try:
        constraints = extension_of(certificate, x509.BasicConstraints)
    except UNREADABLE:
        return False
    return constraints is not None and bool(constraints.ca)


def read_file(raw: Mapping[str, Any], certificates: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One file of the answer."""
    facts = {name: None if raw[name] is None else printable(raw[name]) for name in FACTS if name != "size"}
    return {
        **facts,
        "size": None if raw["size"] is None else int(raw["size"]),
        "links": [printable(each) for each in raw["links"]],
        "readable_by_others": bool(raw["others"]),
        "certificates": [certificates[name] for name in raw["certificates"]],
        "private_keys": [
            {
                "algorithm": None if each["algorithm"] is None else printable(each["algorithm"]),
                "encrypted": bool(each["encrypted"]),
                "public_key_sha256": None if each["id"] is None else printable(each["id"]),
            }
            for each in raw["keys"]
        ],
        "pairs": [],
        "mismatch": False,
    }


def tie_keys(files: Sequence[dict[str, Any]]) -> None:
    """Say of each file where the other half of its pair is, and whether it holds a key that is nobody's in it."""
    holders = paths_by(files, lambda each: [key["public_key_sha256"] for key in each["private_keys"]])
    leaves = paths_by(files, lambda each: [leaf["public_key_sha256"] for leaf in readable(each)[:1]])
    for each in files:
        own = [key["public_key_sha256"] for key in each["private_keys"] if key["public_key_sha256"]]
        certified = [certificate["public_key_sha256"] for certificate in readable(each)]
        if certified:
            each["pairs"] = holders.get(certified[0], [])
        else:
            each["pairs"] = [path for identifier in own for path in leaves.get(identifier, [])]
        each["mismatch"] = bool(own and certified and not set(own) & set(certified))


def paths_by(files: Iterable[Mapping[str, Any]], identifiers: Any) -> dict[str, list[str]]:
    """Key id → the files that have it."""
    found: dict[str, list[str]] = {}
    for each in files:
        for identifier in identifiers(each):
            if identifier:
                found.setdefault(identifier, []).append(each["path"])
    return found


def readable(file: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The certificates of a file whose key is known."""
    return [each for each in file["certificates"] if each["public_key_sha256"]]


def printable(value: Any) -> str:
    """What a host said, as one line that plays no tricks on a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value)[:LONGEST_TEXT])
