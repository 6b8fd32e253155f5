# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of a key provider: where the keys that sign for an internal CA are made, and stay.

A key in the store is a private key like any other, and ``sub_plugins/key/store.py`` knows no more than how to make one. A key that is
elsewhere is used by reference: :class:`KeysElsewhere` makes it, tells its public key and has it sign; ``foreign.py`` lets
``cryptography`` take it for a private key.
"""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import KeyUnavailable, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import load_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

# What JSON can say, and no secret: what a provider finds its key again by.
Reference = Mapping[str, str]


@dataclass(frozen=True)
class ToSign:
    """What a key is to sign, and how.

    :param scheme: ``ecdsa`` (a DER signature, RFC 3279), ``rsa-pkcs1v15`` (RFC 8017, 8.2) or ``ed25519`` (RFC 8032).
    :param hash_name: ``sha256``, ``sha384`` or ``sha512``; empty for ``ed25519``, which hashes by itself.
    :param data: all of it; :attr:`digest` is for who signs digests.
    """

    scheme: str
    hash_name: str
    data: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """The hash of the data; only where there is a hash."""
        return hashlib.new(self.hash_name, self.data).digest()


@dataclass(frozen=True)
class KeyRecord:
    """What the store has of a key that is elsewhere.

    :param provider: the type of its provider, as a user writes it.
    :param reference: what the provider finds it by.
    :param public_key: PEM (SubjectPublicKeyInfo): with it, nobody has to ask the provider what the key is.
    """

    provider: str
    reference: Reference
    public_key: str

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> KeyRecord:
        """:raises KeyError, TypeError, AttributeError: not what :meth:`as_json` gives."""
        reference = {str(name): str(value) for name, value in raw["reference"].items()}
        return cls(str(raw["provider"]), reference, str(raw["public_key"]))

    def as_json(self) -> dict[str, Any]:
        """The form it is kept in."""
        return {"provider": self.provider, "reference": dict(self.reference), "public_key": self.public_key}


class KeyProvider(ABC):
    """One place for keys.

    :param options: what the user wrote about it, less ``type``.
    :param where: whose options these are, for messages.
    :raises SpecError: (constructor) an option that is unknown or does not fit.
    """

    #: Its type, as the user wrote it; set by :func:`load_key_provider`.
    type_name = ""
    #: Whether keys lie in the store, sealed under its passphrase.
    in_store = False
    #: Those it can make, in the words of ``private_key.algorithm``; empty: all.
    algorithms: tuple[str, ...] = ()

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        self.where = where
        self.fields = Fields(options, self.option_names(), where)

    @classmethod
    @abstractmethod
    def option_names(cls) -> tuple[str, ...]:
        """The options it takes besides ``type``."""

    def keep_in(self, store: Store) -> None:
        """Told once, before anything else: where it may remember something, below ``x/`` and its collection's name."""
        return None

    @abstractmethod
    def new_key(self, label: str, algorithm: str) -> Any:
        """Make a key; a private key of ``cryptography``, or one that does as it does.

        :param label: for people who look at what is there; it need not be the only one of its name.
        :param algorithm: in the words of ``private_key.algorithm``.
        :raises TlsError: it cannot be made.
        """


class KeysElsewhere(KeyProvider):
    """A place that keeps its keys to itself.

    Nothing here may be done in one process and used in another: Ansible forks, and asks each provider anew in every worker.
    """

    #: Those that foreign.py signs with; a place that can make fewer says so.
    algorithms = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")

    #: Whether :meth:`holds` can be relied on; else, where it is true of several, they are asked for the public key.
    knows_its_own = False

    @abstractmethod
    def make(self, label: str, algorithm: str) -> Reference:
        """Make a key that does not leave the place; what finds it again.

        :raises KeyUnavailable: it cannot be made now; :raises SpecError: no such key can be made there at all.
        """

    @abstractmethod
    def public_key(self, reference: Reference) -> Any:
        """A key's public key, as ``cryptography`` has it.

        :raises KeyUnavailable: the place cannot be asked, or does not have it.
        """

    @abstractmethod
    def sign(self, reference: Reference, what: ToSign) -> bytes:
        """A signature, which is verified by whoever asked for it.

        :raises KeyUnavailable: the place is absent, locked, slow or sealed, or refuses.
        """

    def holds(self, reference: Reference) -> bool:
        """Whether a key of this type is in just this place, where a user has several."""
        return True

    def problem(self, reference: Reference) -> str | None:
        """Why a key cannot be used now, as far as that can be told at once and without a secret; None: nothing is known."""
        return None

    def adopt(self, text: str) -> Reference:
        """What finds a key that is there already.

        :param text: how the user names it.
        :raises SpecError: that is no name of one.
        """
        raise SpecError(
            f"{self.where}: keys that are there already cannot be named", remedy="ask who maintains this type"
        )

    @abstractmethod
    def place(self, reference: Reference) -> str:
        """Where a key is, for people: ``the token 'fleet'``."""

    def new_key(self, label: str, algorithm: str) -> Any:
        if self.algorithms and algorithm not in self.algorithms:
            raise SpecError(
                f"{self.where}: '{self.type_name}' makes no keys of the algorithm {algorithm}",
                remedy=f"it makes {', '.join(self.algorithms)}",
            )
        return self.open_key(self.record(self.make(label, algorithm)))

    def record(self, reference: Reference) -> KeyRecord:
        """What the store is to have of a key; errors as :meth:`public_key`."""
        # Late: cryptography's classes are subclassed there, and only where such a key is used.
        from ansible_collections.fleet.tls.plugins.plugin_utils.keys.foreign import public_pem

        return KeyRecord(self.type_name, reference, public_pem(self.public_key(reference)))

    def open_key(self, record: KeyRecord) -> Any:
        """A key as ``cryptography`` takes it; the place is asked when it signs.

        :raises KeyUnavailable: what the store has of its public key cannot be read.
        """
        from ansible_collections.fleet.tls.plugins.plugin_utils.keys.foreign import foreign_key

        return foreign_key(self, record)


def load_key_provider(raw: Any, where: str) -> KeyProvider:
    """A provider as the user wrote it: a mapping with ``type``, or a type that needs no options.

    :raises SpecError: neither, no such type, or what the provider itself refuses.
    """
    raw = {"type": raw} if isinstance(raw, str) else raw
    if not isinstance(raw, Mapping) or not raw.get("type"):
        raise SpecError(f"{where} has to be a mapping with a type", remedy="write {type: pkcs11, ...}, or store")
    name = str(raw["type"])
    rest = {key: value for key, value in raw.items() if key != "type"}
    found = load_provider("key", name)
    refuse_no_provider(found, name)
    provider: KeyProvider = found(rest, where)
    provider.type_name = name.removeprefix("fleet.tls.")
    return provider


def refuse_no_provider(found: Any, name: str) -> None:
    """:raises SpecError: what a module provides is no key provider, or half of one."""
    problem = None
    if not (isinstance(found, type) and issubclass(found, KeyProvider)):
        problem = "its PROVIDER is no KeyProvider"
    elif inspect.isabstract(found):
        problem = f"it lacks {', '.join(sorted(found.__abstractmethods__))}"
    if problem:
        raise SpecError(f"the key type '{name}' cannot be used: {problem}", remedy="report this to who maintains it")


def no_such_key(place: str, what: str) -> KeyUnavailable:
    """The place can be asked, and the key is not there."""
    return KeyUnavailable(
        f"{place} has no key {what}",
        remedy="it is another token, or the key was removed there: put the right one in, or replace the CA with fleet.tls.rotate_ca",
    )
