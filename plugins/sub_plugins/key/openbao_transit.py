# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key provider ``openbao_transit``: keys in the transit engine of OpenBao or HashiCorp Vault. See docs/keys.md.

Keys are made so that nobody can export them, and each CA has one of its own. A signature is always asked of the version that the CA's
certificate is for, as a key that somebody has rotated there goes on having its earlier versions.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: In the transit engine of OpenBao or HashiCorp Vault
description:
  - Each CA has a key of its own, which nobody can export. Signatures are asked of the version that the CA's certificate is for.
  - See L(Keys, ../keys.md) for the policy to set up.
extends_documentation_fragment: fleet.tls.providers.openbao
options:
  mount:
    description: Where the transit engine is.
    type: str
    default: transit
"""
EXAMPLES = r"""
keys:
  issuing:
    type: openbao_transit
    url: [https://bao1.example.com:8200, https://bao2.example.com:8200]
    ca_certificate: /etc/ssl/openbao-listener-ca.pem
    auth: {method: approle, role_id: "{{ bao_role_id }}", secret_id: "{{ vault_bao_secret_id }}"}
"""

import base64
import contextlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import KeyUnavailable, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import (
    KeysElsewhere,
    Reference,
    ToSign,
    no_such_key,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.connection import Answer, Connection
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.options import (
    CONNECTION_OPTIONS,
    parse_auth,
    parse_place,
    parse_server,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import UnsupportedAlgorithm, ed25519, serialization

# The engine calls them as we do.
KEY_TYPES = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")
HASHES = {"sha256": "sha2-256", "sha384": "sha2-384", "sha512": "sha2-512"}
NAME_AND_VERSION = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,199})(:v?(?P<version>[1-9][0-9]{0,8}))?")


class TransitKeys(KeysElsewhere):
    """The options of a connection, and ``mount``."""

    algorithms = KEY_TYPES

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        self.connection = Connection(parse_server(self.fields, where), parse_auth(self.fields, where), KeyUnavailable)
        self.mount = parse_place(self.fields.get("mount", "transit"), f"{where}: mount")

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return (*CONNECTION_OPTIONS, "mount")

    def make(self, label: str, algorithm: str) -> Reference:
        # A name of its own: another store's CA may have the same, and a key that is there is never made again.
        name = f"{label}-{uuid.uuid4().hex[:12]}"
        body = {"type": algorithm, "exportable": False, "allow_plaintext_backup": False}
        self.ask("POST", f"keys/{name}", body, once=True)
        return {"mount": self.mount, "name": name, "version": "1"}

    def adopt(self, text: str) -> Reference:
        found = NAME_AND_VERSION.fullmatch(text)
        if not found:
            raise SpecError(f"{self.where}: that is no name of a key", remedy="write NAME, or NAME:VERSION")
        return {"mount": self.mount, "name": found["name"], "version": found["version"] or "1"}

    def holds(self, reference: Reference) -> bool:
        return reference.get("mount") == self.mount

    def public_key(self, reference: Reference) -> Any:
        answer = self.ask("GET", f"keys/{reference['name']}", accept=(404,))
        data = answer.data.get("data") if answer.status != 404 else None
        versions = data.get("keys") if isinstance(data, Mapping) else None
        found = versions.get(reference["version"]) if isinstance(versions, Mapping) else None
        text = str(found.get("public_key", "")) if isinstance(found, Mapping) else ""
        with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
            if text.startswith("-----BEGIN "):
                return serialization.load_pem_public_key(text.encode())
            if text:
                return ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
        raise no_such_key(self.place(reference), f"'{reference['name']}' of version {reference['version']}")

    def sign(self, reference: Reference, what: ToSign) -> bytes:
        body: dict[str, Any] = {
            "input": base64.b64encode(what.digest if what.hash_name else what.data).decode(),
            "key_version": int(reference["version"]),
        }
        if what.hash_name:
            body |= {"prehashed": True, "hash_algorithm": HASHES[what.hash_name]}
        if what.scheme == "ecdsa":
            body["marshaling_algorithm"] = "asn1"
        elif what.scheme == "rsa-pkcs1v15":
            body["signature_algorithm"] = "pkcs1v15"
        answer = self.ask("POST", f"sign/{reference['name']}", body, accept=(400,))
        data = answer.data.get("data")
        text = str(data.get("signature", "")) if isinstance(data, Mapping) else ""
        # vault:v1:BASE64
        with contextlib.suppress(ValueError):
            if answer.status < 300 and text:
                return base64.b64decode(text.rpartition(":")[2], validate=True)
        words = "; ".join(answer.errors) or "no signature in its answer"
        raise KeyUnavailable(
            f"{self.place(reference)} did not sign: {words}",
            remedy=f"see bao read {self.mount}/keys/{reference['name']}",
        )

    def place(self, reference: Reference) -> str:
        return f"the transit engine '{self.mount}' of {self.connection.describe()}"

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        accept: tuple[int, ...] = (),
        once: bool = False,
    ) -> Answer:
        """A request below the mount."""
        return self.connection.request(method, f"{self.mount}/{path}", body, accept=accept, once=once)


PROVIDER = TransitKeys
