# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuer ``openbao``: the PKI engine of OpenBao or HashiCorp Vault signs the host's CSR. See docs/issuers/openbao.md.

What was issued is recorded in the ledger under the request's id before it goes to the host. A run that is killed between the
signature and the record leaves a certificate that nobody has: the next run has the same key signed once more, for the same names.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: The PKI engine of OpenBao or HashiCorp Vault
description:
  - The host makes its key and a CSR, and OpenBao signs the CSR under a role.
  - See L(Issuer openbao, ../issuers/openbao.md) for the role and the policy to set up, and how its CA is replaced.
extends_documentation_fragment: fleet.tls.providers.openbao
options:
  mount:
    description: Where the PKI engine is.
    type: str
    default: pki
  role:
    description: The role that signs. It limits names, usages and validity.
    type: str
    required: true
  issuer_ref:
    description: Which of the mount's issuers signs, by name or id. The default is the role's own.
    type: str
  duration:
    description: Validity to ask for, where the certificate does not say it itself. The role may give less. The default is the role's.
    type: str
  root:
    description: The root, PEM text or an absolute path, where the mount has only an intermediate CA and does not know its root.
    type: str
"""
EXAMPLES = r"""
tls_issuers:
  bao:
    type: openbao
    url: https://openbao.example.com:8200
    ca_certificate: /etc/ssl/openbao-listener-ca.pem
    auth: {method: approle, role_id: "{{ bao_role_id }}", secret_id: "{{ vault_bao_secret_id }}"}
    role: web
    duration: 30d
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanPrepare, CanRevoke
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.issue_once import issue_once
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.anchors import MountAnchors, certificates_of
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.connection import Connection
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.options import (
    CONNECTION_OPTIONS,
    parse_auth,
    parse_place,
    parse_server,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import parse_path_or_pem, read_anchors
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, is_issued_by
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_NAME


class OpenBaoIssuer(Issuer, CanPrepare, CanRevoke):
    """The options of a connection, ``mount``, ``role``, ``issuer_ref``, ``duration`` and ``root``."""

    def __init__(self, name: str, options: Any, store: Any) -> None:
        super().__init__(name, options, store)
        where = f"issuer '{name}'"
        if not CERTIFICATE_NAME.fullmatch(name):
            raise SpecError(f"'{name}' is not a valid issuer name", remedy="it becomes a folder of the store")
        self.connection = Connection(parse_server(self.fields, where), parse_auth(self.fields, where), IssuerError)
        self.mount = parse_place(self.fields.get("mount", "pki"), f"{where}: mount")
        if not self.fields.get("role"):
            raise SpecError(f"{where}: role is missing", remedy="name the role of the PKI mount that may sign")
        self.role = parse_place(self.fields.get("role"), f"{where}: role")
        reference = self.fields.get("issuer_ref")
        self.issuer_ref = None if reference is None else parse_place(reference, f"{where}: issuer_ref")
        duration = self.fields.get("duration")
        self.duration = None if duration is None else parse_duration(duration, f"{where}: duration")
        root = self.fields.get("root")
        self.root = None if root is None else parse_path_or_pem(root, f"{where}: root")

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return (*CONNECTION_OPTIONS, "mount", "role", "issuer_ref", "duration", "root")

    @property
    def lifetime(self) -> int | None:
        return self.duration

    @property
    def mount_anchors(self) -> MountAnchors:
        """What is known of the mount."""
        roots = read_anchors(self.root, f"issuer '{self.name}': root") if self.root else ()
        return MountAnchors(self.name, self.store, self.connection, self.mount, roots)

    def trust(self) -> tuple[x509.Certificate, ...]:
        state = self.mount_anchors.current(clock())
        return state.anchors() if state else ()

    def authorities(self) -> dict[str, x509.Certificate]:
        state = self.mount_anchors.current(clock())
        return {fingerprint(each.certificate): each.certificate for each in (state.known if state else ())}

    def unprepared(self, now: dt.datetime) -> str | None:
        return (
            None
            if self.mount_anchors.kept()
            else f"the CA of '{self.name}' is not known yet: its certificates are fetched"
        )

    def prepare(self, now: dt.datetime) -> None:
        self.mount_anchors.update(now)

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        begun = time.monotonic()
        self.mount_anchors.update(now)

        def by_now() -> dt.datetime:
            # The engine dates certificates back by 30 seconds only, and the request before may have taken longer.
            return now + dt.timedelta(seconds=time.monotonic() - begun)

        return tuple(issue_once(self, request, by_now(), partial(self.order, request)) for request in requests)

    def order(self, request: IssueRequest) -> tuple[x509.Certificate, ...]:
        """Have it signed.

        :raises TlsError: it was refused (with the server's own words), or could not be asked for.
        """
        signer = f"{self.mount}/issuer/{self.issuer_ref}" if self.issuer_ref else self.mount
        answer = self.connection.request(
            "POST", f"{signer}/sign/{self.role}", self.body(request), accept=(400,), once=True
        )
        if answer.status == 400:
            raise IssuerError(
                f"{self.connection.describe()} did not sign it: {'; '.join(answer.errors)}",
                remedy=f"let the role '{self.role}' of '{self.mount}/' allow it, or ask for what it allows",
            )
        data = answer.data.get("data")
        return in_order(certificates_of(with_issuer(data)))

    def body(self, request: IssueRequest) -> dict[str, Any]:
        """What is asked for. Names are said twice, as roles take them from the CSR or (``use_csr_sans``) from here."""
        names = request.names
        # A common name has at most 64 characters (RFC 5280, ub-common-name); the mount refuses a longer one.
        common_name = names.common_name or next((each for each in names.dns_names if len(each) <= 64), "")
        duration = request.duration or self.duration
        return {
            "csr": request.csr.public_bytes(serialization.Encoding.PEM).decode(),
            "common_name": common_name,
            "alt_names": ",".join((*names.dns_names, *names.email_addresses)),
            "ip_sans": ",".join(names.ip_addresses),
            "uri_sans": ",".join(names.uris),
            "exclude_cn_from_sans": True,
            "format": "pem",
            **({"ttl": f"{duration}s"} if duration else {}),
        }

    def revoke(self, leaf: x509.Certificate, reason: str, now: dt.datetime) -> None:
        serial = f"{leaf.serial_number:x}"
        serial = serial.zfill(len(serial) + len(serial) % 2)
        pairs = ":".join(serial[place : place + 2] for place in range(0, len(serial), 2))
        # The engine takes no reason; the ledger has it.
        self.connection.request("POST", f"{self.mount}/revoke", {"serial_number": pairs})


def with_issuer(data: Any) -> Any:
    """An answer to a signature whose chain has at least the issuer in it."""
    if isinstance(data, Mapping) and not data.get("ca_chain") and data.get("issuing_ca"):
        return {**data, "ca_chain": [data["issuing_ca"]]}
    return data


def in_order(certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The chain: leaf first, each followed by its issuer, no root.

    :raises IssuerError: there is no certificate.
    """
    if not certificates:
        raise IssuerError("OpenBao answered without a certificate", remedy="see the server's log")
    chain = [certificates[0]]
    left = [each for each in certificates[1:] if not is_issued_by(each, each)]
    while above := next((each for each in left if is_issued_by(chain[-1], each)), None):
        chain.append(above)
        left = [each for each in left if fingerprint(each) != fingerprint(above)]
    return tuple(chain)


def clock() -> dt.datetime:
    """Now."""
    return dt.datetime.now(dt.timezone.utc)


PROVIDER = OpenBaoIssuer
