# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sealed in an entry, whatever the entry is: a private key as PEM, or values within JSON. Pure, but for the passphrases.

A value within JSON is bound to what it is. That is the entry's key, unless :func:`context_of` knows better.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import InvalidTag
from ansible_collections.fleet.tls.plugins.plugin_utils.store.pkcs8 import opened, sealed_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import (
    SEALED_END,
    UNOPENED,
    opened_bytes,
    sealed_bytes,
)

KEY_ENDING = ".key"
SEALED_FIELDS = frozenset({"n", "r", "p", "salt", "nonce", "sealed"})
RING_ENTRY = re.compile(r"tickets/(?P<pool>[^/]+)\.json")
NOT_OPENED = (*UNOPENED, KeyError)


class Unopened(Exception):
    """Something sealed opens under none of the passphrases, or is damaged. Nothing of it is told."""


def ring_context(pool: str, generation: int) -> str:
    """What a pool's sealed session ticket keys are, in words that bind them to pool and generation."""
    return f"generation {generation} of the session ticket keys of '{pool}'"


def context_of(key: str, content: Mapping[str, Any]) -> str:
    """What the sealed values within the entry ``key`` are bound to.

    :param content: the entry, read as JSON.
    """
    ring = RING_ENTRY.fullmatch(key)
    return ring_context(ring["pool"], content.get("generation", 0)) if ring else key


def check_opens(key: str, value: bytes, passphrase: bytes) -> bool:
    """Open all that is sealed in an entry; whether there was anything.

    :raises Unopened: something does not open.
    """
    return resealed(key, value, (passphrase,), None) is not None


def resealed(key: str, value: bytes, passphrases: tuple[bytes, ...], following: bytes | None) -> bytes | None:
    """An entry with all that is sealed in it under ``following``; None: nothing in it is sealed.

    :param passphrases: one of them opens it. What ``following`` opens already stays as it is.
    :param following: None: it is opened only, and comes back as it was.
    :raises Unopened: none of them opens it, or it is damaged.
    """
    if key.endswith(KEY_ENDING) or SEALED_END in value:
        return resealed_key(value, passphrases, following)
    content = sealed_content(value)
    if content is None:
        return None
    context = context_of(key, content)
    changed = changed_values(content, lambda sealed: resealed_value(sealed, context, passphrases, following))
    return value if changed == content else json.dumps(changed, indent=1).encode()


def resealed_key(value: bytes, passphrases: tuple[bytes, ...], following: bytes | None) -> bytes:
    """As :func:`resealed`, of a private key."""
    if SEALED_END not in value:
        raise Unopened
    for passphrase in (*passphrases, *((following,) if following else ())):
        try:
            private_key = opened(value, passphrase)
        except NOT_OPENED:  # pylint: disable=catching-non-exception
            continue
        return value if passphrase == following or following is None else sealed_pem(private_key, following)
    raise Unopened


def resealed_value(
    sealed: Mapping[str, Any], context: str, passphrases: tuple[bytes, ...], following: bytes | None
) -> Mapping[str, Any]:
    """As :func:`resealed`, of one value."""
    for passphrase in (*passphrases, *((following,) if following else ())):
        try:
            secret = opened_bytes(passphrase, sealed, context)
        except (ValueError, KeyError, TypeError, InvalidTag):
            continue
        return sealed if passphrase == following or following is None else sealed_bytes(following, secret, context)
    raise Unopened


def sealed_content(value: bytes) -> dict[str, Any] | None:
    """An entry as JSON, where something in it is sealed; None: nothing is."""
    if b'"sealed"' not in value:
        return None
    try:
        content = json.loads(value)
    except (*MISSHAPEN, RecursionError):
        return None
    return content if isinstance(content, dict) and has_sealed(content) else None


def has_sealed(content: Any) -> bool:
    """Whether there is a sealed value in JSON."""
    if isinstance(content, dict):
        return content.keys() >= SEALED_FIELDS or any(map(has_sealed, content.values()))
    return isinstance(content, list) and any(map(has_sealed, content))


def changed_values(content: Any, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Any:
    """JSON with every sealed value in it changed."""
    if isinstance(content, dict):
        if content.keys() >= SEALED_FIELDS:
            return change(content)
        return {name: changed_values(each, change) for name, each in content.items()}
    if isinstance(content, list):
        return [changed_values(each, change) for each in content]
    return content
