# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret in OpenBao's KV engine (version 2) as a source of issuer ``fetch``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.fetch_sources import Content, Source, filled
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.connection import Connection
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.kv import KeyValues
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.options import (
    CONNECTION_OPTIONS,
    parse_auth,
    parse_place,
    parse_server,
)

FIELDS = ("certificate", "chain", "private_key")


@dataclass(frozen=True)
class OpenBaoPlaces:
    """Secrets of one mount. ``path`` may have placeholders; ``fields``: what of a secret is put together, where it is there."""

    values: KeyValues
    path: str
    fields: tuple[str, ...]
    where: str

    def source(self, names: Mapping[str, str]) -> OpenBaoSource:
        """The secret for a certificate of a host.

        :raises SpecError: a name that cannot be part of a path.
        """
        return OpenBaoSource(self.values, parse_place(filled(self.path, names), f"{self.where}: path"), self.fields)


class OpenBaoSource(Source):
    """One secret; its tag is its version."""

    remote = True

    def __init__(self, values: KeyValues, path: str, fields: tuple[str, ...]) -> None:
        self.values = values
        self.path = path
        self.fields = fields

    def describe(self) -> str:
        return f"{self.values.mount}/{self.path} in {self.values.connection.describe()}"

    def read(self) -> Content:
        kept = self.values.read(self.path)
        if kept.values is None:
            raise IssuerError(f"there is no secret {self.describe()}", remedy="check mount, path and namespace")
        return Content(self.joined(kept.values), f"version:{kept.version}")

    def joined(self, values: Mapping[str, Any]) -> bytes:
        """The fields as one content: PEM texts one after the other, anything else in base64.

        :raises CertificateError: none of them is there, or one is neither.
        """
        found = [values[field] for field in self.fields if values.get(field)]
        texts = [str(each) for one in found for each in (one if isinstance(one, list) else [one])]
        if not texts:
            raise CertificateError(f"{self.describe()} has none of the fields {', '.join(self.fields)}")
        if any("-----BEGIN " in text for text in texts):
            return "\n".join(texts).encode()
        try:
            return base64.b64decode("".join(texts[0].split()), validate=True)
        except ValueError:
            raise CertificateError(
                f"{self.describe()}: what is there is neither PEM nor base64",
                remedy="keep PKCS#12 and DER in base64: bao kv put … certificate=@<(base64 www.p12)",
            ) from None


def parse_openbao(raw: Any, where: str) -> OpenBaoPlaces:
    """The option ``openbao``.

    :raises SpecError: an option is unknown, missing or does not fit.
    """
    fields = Fields(raw, (*CONNECTION_OPTIONS, "mount", "path", "fields"), where)
    path = fields.text("path")
    if not path:
        raise SpecError(f"{where}: path is missing", remedy="write path: certificates/{certificate}")
    connection = Connection(parse_server(fields, where), parse_auth(fields, where), IssuerError)
    values = KeyValues(connection, parse_place(fields.get("mount", "secret"), f"{where}: mount"))
    return OpenBaoPlaces(values, path, tuple(fields.strings("fields")) or FIELDS, where)
