# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PKCS#11 URIs (RFC 7512): what names a token, and a key in it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

SCHEME = "pkcs11:"
# RFC 7512, 2.3; those of a library or a slot say nothing of which token it is.
TOKEN_ATTRIBUTES = ("token", "serial", "manufacturer", "model")
KEY_ATTRIBUTES = ("object", "id", "type")
# What needs no escape in a value, RFC 7512, 2.3 (pk11-pchar), less what would be misread by people.
PLAIN = ":[]@!$'()*+,="


@dataclass(frozen=True)
class Pkcs11Uri:
    """Attributes by their names; ``id`` is bytes and not part of ``texts``."""

    texts: Mapping[str, str]
    key_id: bytes | None = None

    def token(self) -> dict[str, str]:
        """What it says of the token."""
        return {name: value for name, value in self.texts.items() if name in TOKEN_ATTRIBUTES}

    def __str__(self) -> str:
        parts = [
            f"{name}={quote(self.texts[name], safe=PLAIN)}"
            for name in (*TOKEN_ATTRIBUTES, "object")
            if name in self.texts
        ]
        if self.key_id is not None:
            parts.append("id=" + "".join(f"%{byte:02x}" for byte in self.key_id))
        if "type" in self.texts:
            parts.append(f"type={self.texts['type']}")
        return SCHEME + ";".join(parts)


def parse_uri(text: str, where: str, *, key: bool = False) -> Pkcs11Uri:
    """A URI of a token, or of a key.

    :param where: which option it is, for messages. Its text is not told: a PIN may be in it.
    :raises SpecError: no such URI, or with more in it than names a token (and a key).
    """
    example = "write pkcs11:token=fleet;object=root;type=private" if key else "write pkcs11:token=fleet"
    if not text.startswith(SCHEME):
        raise SpecError(f"{where} is no PKCS#11 URI (RFC 7512)", remedy=example)
    path, _mark, query = text.removeprefix(SCHEME).partition("?")
    if "pin-value" in query or "pin-source" in query:
        raise SpecError(f"{where}: the PIN does not belong into the URI", remedy="give it as pin_file, pin_env or pin")
    known = (*TOKEN_ATTRIBUTES, *(KEY_ATTRIBUTES if key else ()))
    texts: dict[str, str] = {}
    key_id = None
    for part in filter(None, path.split(";")):
        name, equals, value = part.partition("=")
        if not equals or name not in known or name in texts:
            raise SpecError(f"{where}: it may have {', '.join(known)}, each once", remedy=example)
        raw = unquote_to_bytes(value)
        if name == "id":
            key_id = raw
            continue
        try:
            texts[name] = raw.decode()
        except UnicodeDecodeError:
            raise SpecError(f"{where}: {name} is no UTF-8", remedy=example) from None
    if query or not texts or (key and key_id is None and "object" not in texts):
        raise SpecError(f"{where}: it does not name a {'key' if key else 'token'}, or says more", remedy=example)
    if texts.get("type", "private") != "private":
        raise SpecError(f"{where}: it names no private key", remedy=example)
    return Pkcs11Uri(texts, key_id)
