# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A root whose key is in the PKI engine of OpenBao or Vault signs the CSR of an issuing CA (API: ``root/sign-intermediate``)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.anchors import certificates_of
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.connection import Connection
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.options import (
    CONNECTION_OPTIONS,
    parse_auth,
    parse_place,
    parse_server,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, serialization, x509

# The engine refuses what would outlive its root, and counts from when it signs.
MARGIN = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class RootSigner:
    """One issuer of a PKI mount. ``issuer_ref``: its name or id; None: the mount's default."""

    connection: Connection
    mount: str
    issuer_ref: str | None

    def __call__(
        self, csr: x509.CertificateSigningRequest, root: x509.Certificate, lifetime: int, now: dt.datetime
    ) -> x509.Certificate:
        """Have ``csr`` signed for ``lifetime`` seconds, or for as long as the root lives. The caller checks what comes of it.

        :raises IssuerError: it was not signed.
        """
        signer = f"{self.mount}/issuer/{self.issuer_ref}" if self.issuer_ref else f"{self.mount}/root"
        left = int((root.not_valid_after_utc - MARGIN - now).total_seconds())
        body = {
            "csr": csr.public_bytes(serialization.Encoding.PEM).decode(),
            "common_name": csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value,
            "exclude_cn_from_sans": True,
            "max_path_length": 0,
            "format": "pem",
            "ttl": f"{max(min(lifetime, left), 1)}s",
        }
        answer = self.connection.request("POST", f"{signer}/sign-intermediate", body, accept=(400,), once=True)
        if answer.status == 400:
            raise IssuerError(
                f"{self.connection.describe()} did not sign the issuing CA: {'; '.join(answer.errors)}",
                remedy=f"see that '{signer}' has the key of the root, and lives long enough",
            )
        found = certificates_of(answer.data.get("data"))
        if not found:
            raise IssuerError(
                f"{self.connection.describe()} answered without a certificate", remedy="see the server's log"
            )
        return found[0]


def parse_root_signer(raw: Any, where: str) -> RootSigner:
    """``root.openbao``.

    :raises SpecError: an option is missing, unknown or does not fit.
    """
    fields = Fields(raw, (*CONNECTION_OPTIONS, "mount", "issuer_ref"), where)
    reference = fields.get("issuer_ref")
    return RootSigner(
        Connection(parse_server(fields, where), parse_auth(fields, where), IssuerError),
        parse_place(fields.get("mount", "pki"), f"{where}: mount"),
        None if reference is None else parse_place(reference, f"{where}: issuer_ref"),
    )
