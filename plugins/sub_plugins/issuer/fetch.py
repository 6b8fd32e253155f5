# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuer ``fetch``: certificates that others make, fetched from where they put them. See docs/issuers/fetch.md.

In the store, for an issuer named ``bought``, what was seen last, so that a run with nothing due reads no key and opens nothing::

    fetch/bought/<digest of the place>.json     {"version": 1, "tag": "etag:…", "looked_at": 1790000000.0, "chain": PEM}
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: Certificates that others make, fetched from where they are put
description:
  - Takes bought certificates, or those of another team or tool, from a file, an https URL or OpenBao's KV engine. It takes one of O(certificate)
    and O(openbao).
  - See L(Issuer fetch, ../issuers/fetch.md) for the forms that are understood, and what happens without a key.
options:
  certificate:
    description: An absolute path on the controller, or an https URL. C({certificate}) and C({host}) stand for their names.
    type: str
  openbao:
    description: A secret of a KV engine (version 2) in OpenBao or HashiCorp Vault.
    type: dict
    extends_documentation_fragment: fleet.tls.providers.openbao
    suboptions:
      mount:
        description: Where the KV engine is.
        type: str
        default: secret
      path:
        description: The secret's path. C({certificate}) and C({host}) stand for their names.
        type: str
        required: true
      fields:
        description: Fields of the secret that are put together, as far as they are there. The default is C([certificate, chain, private_key]).
        type: list
        elements: str
        default: []
  private_key:
    description: Where the private key is, when it is not beside the certificate. A path or an https URL, as O(certificate).
    type: str
  chain:
    description: The certificates above the leaf, where they do not come with it. PEM text or an absolute path.
    type: str
  passphrase:
    description: Of an encrypted key or a PKCS#12 file. Keep it in Ansible Vault.
    type: str
  anchors:
    description: The root certificates, PEM text or an absolute path on the controller.
    type: str
    required: true
  headers:
    description: Headers of the https request. They may hold secrets.
    type: dict
    default: {}
  ca_certificate:
    description: PEM file on the controller that the https server is verified with. The default is the system's CAs.
    type: path
  client_certificate:
    description: Certificate on the controller to show to the https server.
    type: path
  client_key:
    description: Its private key, where it is in a file of its own.
    type: path
  timeout:
    description: How long the https request may take.
    type: str
    default: 30s
"""
EXAMPLES = r"""
tls_issuers:
  bought:
    type: fetch
    certificate: /srv/certificates/{certificate}.pem
    private_key: /srv/certificates/{certificate}.key
    anchors: /etc/ssl/certs/USERTrust_RSA_Certification_Authority.pem

  safe:
    type: fetch
    openbao:
      url: https://bao.example.com:8200
      auth: {method: token, token_env: BAO_TOKEN}
      path: certificates/{certificate}
    anchors: /etc/corporate/root.pem
"""

import contextlib
import datetime as dt
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base import playbook_run as this_run
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    CertificateError,
    SpecError,
    StoreConflict,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import HandsOutReadyMade
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.fetch_sources import Content, Source, Web, parse_source
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import plain_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.fetch_source import parse_openbao
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.file_formats import HandedOver, read_handed_over, read_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import (
    parse_path_or_pem,
    read_anchors,
    read_file,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.suitability import is_newer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id, parse_pem_chain, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_NAME
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry

T = TypeVar("T")


@dataclass(frozen=True)
class FetchNote:
    """What was there when somebody looked last; ``looked_at``: seconds since the epoch."""

    tag: str = ""
    looked_at: float = 0.0
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> FetchNote:
        """:raises ValueError, KeyError, TypeError, CertificateError: not what :meth:`as_json` gives."""
        return cls(str(raw["tag"]), float(raw["looked_at"]), parse_pem_chain(raw["chain"]))

    def as_json(self) -> dict[str, Any]:
        """The form it is kept in."""
        chain = "".join(to_pem(each) for each in self.chain)
        return {"tag": self.tag, "looked_at": self.looked_at, "chain": chain}


class FetchIssuer(Issuer, HandsOutReadyMade):
    """Options: ``certificate`` or ``openbao``, ``private_key``, ``chain``, ``passphrase``, ``anchors`` and those of https."""

    def __init__(self, name: str, options: Any, store: Any) -> None:
        super().__init__(name, options, store)
        if not CERTIFICATE_NAME.fullmatch(name):
            raise SpecError(f"'{name}' is not a valid issuer name", remedy="it becomes a directory of the store")
        if self.fields.get("anchors") is None:
            raise SpecError(f"{self.what('anchors')} is missing", remedy="see docs/issuers/fetch.md")
        places = [field for field in ("certificate", "openbao") if self.fields.get(field) is not None]
        if len(places) != 1:
            raise SpecError(
                f"issuer '{name}': it takes one of certificate and openbao", remedy="say where the certificates are"
            )
        raw = self.fields.get("openbao")
        self.secrets = None if raw is None else parse_openbao(raw, self.what("openbao"))
        self.web = self.parse_web()
        self.passphrase = self.fields.text("passphrase")
        self.given_anchors = parse_path_or_pem(self.fields.get("anchors"), self.what("anchors"))
        chain = self.fields.get("chain")
        self.intermediates = None if chain is None else parse_path_or_pem(chain, self.what("chain"))
        # For errors before anything is touched.
        self.place("certificate", "host")
        self.key_place("certificate", "host")

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return (
            "certificate", "openbao", "private_key", "chain", "passphrase", "anchors",
            "headers", "ca_certificate", "client_certificate", "client_key", "timeout",
        )  # fmt: skip

    @property
    def lifetime(self) -> None:
        return None

    def trust(self) -> tuple[x509.Certificate, ...]:
        return read_anchors(self.given_anchors, self.what("anchors"))

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        return tuple(self.issue_one(request) for request in requests)

    def issue_one(self, request: IssueRequest) -> Issued | TlsError:
        """What lies ready for one request; dates, names and anchors are looked at as those of any issuer are."""
        try:
            place = self.place(request.certificate, request.host)
            content = place.read()
            handed_over = self.with_key(told_of(place, lambda: self.opened(content)), request)
            chain = told_of(place, handed_over.chain)
            # What has been opened once need not be opened again to see that it is as it was.
            entry = self.entry(place)
            self.note(entry, FetchNote(content.tag, time.time(), chain))
        except TlsError as error:
            return error
        if handed_over.private_key is not None:
            return Issued(chain, private_key=plain_pem(handed_over.private_key))
        if key_id(chain[0].public_key()) != key_id(request.csr.public_key()):
            return CertificateError(
                f"{place.describe()}: the certificate is for another key than that of the host, and no key comes with it",
                remedy="give private_key; or keep the key on the host (private_key.rotation_policy: never) and have the CSR"
                f" pending/{request.certificate}/request.csr there made into a certificate",
            )
        return Issued(chain)

    def with_key(self, found: HandedOver, request: IssueRequest) -> HandedOver:
        """With the key that has a place of its own.

        :raises TlsError: it cannot be had or read.
        """
        place = self.key_place(request.certificate, request.host)
        if place is None:
            return found
        content = place.read()
        return HandedOver(found.certificates, told_of(place, lambda: key_in(content.data, self.passphrase)))

    def opened(self, content: Content) -> HandedOver:
        """What was found, with the certificates above it that the user has elsewhere.

        :raises CertificateError: it is in none of the forms.
        """
        found = read_handed_over(content.data, self.passphrase)
        if self.intermediates is None:
            return found
        text = self.intermediates
        if "-----BEGIN " not in text:
            text = read_file(text, self.what("chain")).decode("ascii", errors="replace")
        return HandedOver((*found.certificates, *parse_pem_chain(text)), found.private_key)

    def successor(
        self, certificate: str, host: str, leaf: x509.Certificate, now: dt.datetime, *, record: bool
    ) -> x509.Certificate | None:
        seen = self.look(certificate, host, record=record)
        return seen.chain[0] if is_newer(seen.chain[0], leaf, now) else None

    def look(self, certificate: str, host: str, *, record: bool) -> FetchNote:
        """The chain that is there: for remote places one request a run, whatever the number of hosts, and a conditional one.

        :raises TlsError: it cannot be looked at.
        """
        place = self.place(certificate, host)
        entry = self.entry(place)
        seen = entry.usable()
        if place.remote and not record:
            return seen if seen and is_fresh(seen) else self.look_there(place, seen)
        if place.remote:
            with self.store.lock(f"fetch/{self.name}"):
                seen = entry.usable()
                return seen if seen and is_fresh(seen) else self.note(entry, self.look_there(place, seen))
        found = self.look_there(place, seen)
        return self.note(entry, found) if record and (seen is None or seen.tag != found.tag) else found

    def look_there(self, place: Source, seen: FetchNote | None) -> FetchNote:
        """What is there now."""
        content, now = place.changed(seen.tag) if seen else place.read(), time.time()
        if content is None:
            return replace(seen or FetchNote(), looked_at=now)
        found = told_of(place, lambda: self.opened(content))
        chain = told_of(place, HandedOver(found.certificates).chain)
        return FetchNote(content.tag, now, chain)

    def entry(self, place: Source) -> JsonEntry[FetchNote]:
        """Where in the store it is noted what was seen at a place; the place itself may have a secret in it."""
        written = f"{self.fields.text('certificate')}\n{place.describe()}"
        key = f"fetch/{self.name}/{hashlib.sha256(written.encode()).hexdigest()[:32]}.json"
        return JsonEntry(self.store, key, FetchNote.from_json, FetchNote.as_json)

    def note(self, entry: JsonEntry[FetchNote], found: FetchNote) -> FetchNote:
        """Note it; where another run was faster, its note is as good."""
        with contextlib.suppress(StoreConflict):
            entry.replace(found)
        return found

    def place(self, certificate: str, host: str) -> Source:
        """Where a certificate of a host is."""
        names = {"certificate": certificate, "host": host}
        if self.secrets is not None:
            return self.secrets.source(names)
        return parse_source(self.fields.get("certificate"), self.what("certificate"), self.web, names)

    def key_place(self, certificate: str, host: str) -> Source | None:
        """Where its key is, when that has a place of its own."""
        value = self.fields.get("private_key")
        if value is None:
            return None
        return parse_source(value, self.what("private_key"), self.web, {"certificate": certificate, "host": host})

    def parse_web(self) -> Web:
        """The options of https.

        :raises SpecError: headers that are no mapping or would end one another; a client key without its certificate.
        """
        raw = self.fields.get("headers", {})
        if not isinstance(raw, Mapping):
            raise SpecError(f"{self.what('headers')} must be a mapping", remedy="write {Authorization: Bearer …}")
        headers = {str(name): str(value) for name, value in raw.items()}
        if any(set(f"{name}{value}") & set("\r\n\0") for name, value in headers.items()):
            raise SpecError(f"{self.what('headers')}: a value has a line break in it", remedy="give each on one line")
        paths = {field: self.fields.text(field) for field in ("ca_certificate", "client_certificate", "client_key")}
        for field, path in paths.items():
            if path is not None and not path.startswith("/"):
                raise SpecError(f"{self.what(field)} must be an absolute path", remedy="start it with a slash")
        if paths["client_key"] and not paths["client_certificate"]:
            raise SpecError(f"{self.what('client_key')} needs a client_certificate", remedy="name both")
        timeout = parse_duration(self.fields.get("timeout", "30s"), self.what("timeout"))
        return Web(headers=headers, timeout=float(timeout), **paths)

    def what(self, field: str) -> str:
        """An option, for messages."""
        return f"issuer '{self.name}': {field}"


def is_fresh(seen: FetchNote) -> bool:
    """Whether somebody looked in this very run."""
    return bool(seen.chain) and this_run.THIS_RUN.started <= seen.looked_at <= time.time()


def key_in(content: bytes, passphrase: str | None) -> Any:
    """The key in a file of its own, which may be PEM or DER.

    :raises CertificateError: there is none in it.
    """
    if b"-----BEGIN " not in content:
        return read_key(content, passphrase)
    found = read_handed_over(content, passphrase).private_key
    if found is None:
        raise CertificateError("there is no private key in it")
    return found


def told_of(place: Source, work: Callable[[], T]) -> T:
    """What ``work`` gives; its errors name the place."""
    try:
        return work()
    except CertificateError as error:
        raise CertificateError(f"{place.describe()}: {error.message}", remedy=error.remedy) from None


PROVIDER = FetchIssuer
