# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PINs that a token has refused, so that none is sent to it twice: a token locks itself after a few wrong ones.

In the store, ``tokens/<digest of what names the token>.json``: a salted hash (scrypt, RFC 7914) of the PIN that was refused last.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry

COSTS = {"n": 1 << 14, "r": 8, "p": 1}
SALT_BYTES = 16


@dataclass(frozen=True)
class RefusedPin:
    """A PIN by its hash."""

    token: str
    salt: str
    digest: str

    def is_of(self, pin: str) -> bool:
        """Whether it was this one."""
        return hmac.compare_digest(self.digest, hashed(pin, bytes.fromhex(self.salt)))


@dataclass(frozen=True)
class RefusedPins:
    """Those of one token. ``token`` names it, for people too."""

    store: Store
    token: str

    def has(self, pin: str) -> bool:
        """Whether the token has refused just this one. A damaged entry counts as none."""
        known = self.entry.usable()
        return known is not None and known.is_of(pin)

    def add(self, pin: str) -> None:
        """Remember one; the caller holds :func:`alone`."""
        salt = secrets.token_bytes(SALT_BYTES)
        self.entry.replace(RefusedPin(self.token, salt.hex(), hashed(pin, salt)))

    def forget(self) -> None:
        """The token has taken another one; the caller holds :func:`alone`."""
        if self.store.get(self.key) is not None:
            self.store.discard(self.key)

    @property
    def key(self) -> str:
        """Of the entry."""
        return f"tokens/{digest_of(self.token)}.json"

    @property
    def entry(self) -> JsonEntry[RefusedPin]:
        """What is remembered."""

        def parse(raw: Mapping[str, Any]) -> RefusedPin:
            bytes.fromhex(raw["salt"])
            return RefusedPin(str(raw["token"]), str(raw["salt"]), str(raw["digest"]))

        return JsonEntry(self.store, self.key, parse, vars)


@contextlib.contextmanager
def alone(store: Store, module: str, wait: float) -> Iterator[None]:
    """While it lasts, nobody else tries a PIN at any token of this module.

    :param wait: seconds. :raises StoreBusy: somebody else takes longer.
    """
    with store.lock(f"tokens/{digest_of(module)}", wait=wait):
        yield


def digest_of(name: str) -> str:
    """A name as a part of an entry's."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def hashed(pin: str, salt: bytes) -> str:
    """A PIN's hash, hex."""
    return hashlib.scrypt(pin.encode(errors="surrogateescape"), salt=salt, dklen=32, **COSTS).hex()
