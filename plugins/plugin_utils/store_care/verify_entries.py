# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether each entry of a store is whole, opens, and has the key that fits its certificate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, StoreError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import parse_pem_crls
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.files import CaFiles
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import KeyRecord
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import UnsupportedAlgorithm, serialization
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id, parse_pem_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP, JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import encoded_passphrase
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealed_entries import KEY_ENDING, Unopened, check_opens
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore

CA = re.compile(r"ca/(?P<name>[^/]+)/ca\.json")
POOL = re.compile(r"pools/(?P<name>[^/]+)\.json")
CA_KEY = re.compile(r"(?P<name>ca/[^/]+/(root|issuing)-[0-9]{1,9})\.key\.json")
RING = re.compile(r"tickets/(?P<name>[^/]+)\.json")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    :param code: ``unopened``, ``key_mismatch``, ``damaged``, ``ledger_broken``, ``ledger_cut``, ``not_in_ledger``, ``revoked_served``.
    :param about: the entry, ``ledger``, or a host.
    """

    code: str
    about: str
    message: str
    remedy: str


def entry_findings(store: Store) -> Iterator[Finding]:
    """What is wrong with the entries. Without a passphrase nothing is opened.

    :param store: one that does not change meanwhile.
    """
    for key in store.names():
        entry = store.get(key)
        value = entry.value if entry else b""
        found = tuple(one_entry(store, key, value))
        # What is said by what uses the entry says no more than what was said of the entry itself.
        yield from found or uses(store, key)


def one_entry(store: Store, key: str, value: bytes) -> Iterator[Finding]:
    """An entry by itself."""
    if store.passphrase:
        try:
            check_opens(key, value, encoded_passphrase(store))
        except Unopened:
            yield Finding("unopened", key, f"'{key}' does not open under the passphrase, or is damaged", BACKUP)
    if not is_readable(key, value):
        yield Finding("damaged", key, f"'{key}' is damaged", BACKUP)


def is_readable(key: str, value: bytes) -> bool:
    """Whether it is what its name says. What providers of others have below ``x/`` is theirs to know."""
    if key.startswith("x/"):
        return True
    try:
        if key.endswith(".json"):
            return isinstance(json.loads(value), dict)
        if key.endswith(".pem"):
            parse_pem_chain(value.decode())
        if key.endswith(".crl"):
            parse_pem_crls(value.decode())
    except (ValueError, CertificateError, RecursionError):
        return False
    return True


def uses(store: Store, key: str) -> Iterator[Finding]:
    """An entry in the eyes of what uses it: that all it names is there, and belongs together."""
    for pattern, look in LOOKS:
        found = pattern.fullmatch(key)
        if found:
            yield from tried(key, lambda: look(store, found["name"]))  # noqa: B023
    certificate = f"{key.removesuffix(KEY_ENDING)}.pem"
    if key.endswith(KEY_ENDING) and store.passphrase and store.get(certificate) is not None:
        yield from tried(key, lambda: check_pair(store, key, certificate))


def tried(key: str, look: Callable[[], None]) -> Iterator[Finding]:
    """What a look says is wrong."""
    try:
        look()
    except Mismatch as error:
        yield Finding("key_mismatch", key, error.message, BACKUP)
    except TlsError as error:
        yield Finding("damaged", key, error.message, error.remedy or BACKUP)


class Mismatch(StoreError):
    """A key is not that of its certificate."""


def check_pair(store: Store, key: str, certificate: str) -> None:
    """:raises Mismatch: a key is not that of the certificate beside it; :raises StoreError: it cannot be read."""
    entry = store.get(certificate)
    leaf = parse_pem_chain(entry.value.decode() if entry else "")[0]
    if key_id(get_key(store, key).public_key()) != key_id(leaf.public_key()):
        raise Mismatch(f"'{key}' is not the key of '{certificate}'")


def check_ca(store: Store, name: str) -> None:
    """:raises TlsError: an authority that it names is not there."""
    ca = CaFiles()
    ca.name, ca.store = name, store
    state = ca.state()
    for authority in state.ids if state else ():
        ca.certificate(authority)


def check_key_record(store: Store, name: str) -> None:
    """:raises Mismatch: a key that is elsewhere is not that of its certificate; :raises StoreError: one of the two cannot be read."""
    key = f"{name}.key.json"
    record = JsonEntry(store, key, KeyRecord.from_json, KeyRecord.as_json).read()
    entry = store.get(f"{name}.pem")
    if record is None or entry is None:
        return
    leaf = parse_pem_chain(entry.value.decode())[0]
    try:
        public = serialization.load_pem_public_key(record.public_key.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise StoreError(f"the public key in '{key}' cannot be read") from None
    if key_id(public) != key_id(leaf.public_key()):
        raise Mismatch(f"'{key}' names another key than that of '{name}.pem'")


def check_pool(store: Store, name: str) -> None:
    """:raises Mismatch: key and certificate do not belong together; :raises StoreError: one is damaged or missing."""
    pool = Pool(store, name)
    pair = pool.load().current
    if pair is not None and store.passphrase:
        private_key = get_key(store, pool.key_entry(pair.slot))
        if key_id(private_key.public_key()) != key_id(pair.leaf.public_key()):
            raise Mismatch(f"'{pool.key_entry(pair.slot)}' is not the key of the certificate in '{pool.entry.key}'")


def check_ring(store: Store, name: str) -> None:
    """:raises StoreError: the keys are not those of the record."""
    rings = RingStore(store, name)
    known = rings.known()
    if known is not None and store.passphrase:
        rings.ring(known)


LOOKS = ((CA, check_ca), (CA_KEY, check_key_record), (POOL, check_pool), (RING, check_ring))
