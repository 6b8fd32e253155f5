# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store in OpenBao (or HashiCorp Vault): a KV engine of version 2, shared by several controllers or job slices.

Below ``path`` of the mount: ``entries/`` (the keys of :class:`Store`, PEM and JSON as text), ``ledger/`` and ``locks/``. An entry's
version is its KV version, and every write is check-and-set. Private keys are sealed under the passphrase as in every store: a token
that leaks gives no key.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: A KV engine of OpenBao or HashiCorp Vault, for several controllers
description:
  - Several controllers, or the job slices of AWX, share one store. It does everything that the directory does.
  - See L(Store openbao, ../stores/openbao.md) for the policy to set up, and what two runs at once do.
extends_documentation_fragment: fleet.tls.providers.openbao
options:
  mount:
    description: Where the KV engine (version 2) is.
    type: str
    default: secret
  path:
    description: The folder in it that is ours.
    type: str
    default: fleet-tls
"""
EXAMPLES = r"""
tls_store:
  type: openbao
  url: [https://bao1.example.com:8200, https://bao2.example.com:8200]
  ca_certificate: /etc/ssl/openbao-listener-ca.pem
  auth: {method: approle, role_id: "{{ bao_role_id }}", secret_id: "{{ vault_bao_secret_id }}"}
  passphrase: "{{ vault_tls_passphrase }}"
"""

import base64
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreBusy, StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao import ledger as openbao_ledger
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.chain import Chain
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.connection import Connection
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.kv import NEVER, Kept, KeyValues, Moment
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.lock import WRITE, Lease
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.options import (
    CONNECTION_OPTIONS,
    parse_auth,
    parse_place,
    parse_server,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Record
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import (
    Entry,
    Issuance,
    Ledger,
    Revocation,
    Store,
    check_key,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.snapshot import Snapshot

VERSION = re.compile(r"[1-9][0-9]{0,15}")


class OpenBaoStore(Store):
    """The options of a connection, ``mount`` and ``path`` (docs/stores/openbao.md)."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        connection = Connection(parse_server(self.fields, "store"), parse_auth(self.fields, "store"), StoreError)
        self.mount = parse_place(self.fields.get("mount", "secret"), "store: mount")
        self.root = parse_place(self.fields.get("path", "fleet-tls"), "store: path")
        self.entries = KeyValues(connection, self.mount)
        self.leases: list[Lease] = []
        self.seen_open = False
        self.longest_write = connection.server.timeout

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return (*CONNECTION_OPTIONS, "mount", "path")

    def describe(self) -> str:
        return f"the store {self.mount}/{self.root} in {self.entries.connection.describe()}"

    def get(self, key: str) -> Entry | None:
        if not self.seen_open:
            # Once for all that is read; before each write it is asked anew.
            self.refuse_closed()
            self.seen_open = True
        return self.read(key)

    def names(self) -> tuple[str, ...]:
        root = f"{self.root}/entries/"
        return tuple(sorted(path.removeprefix(root) for path in self.entries.all_names(root.rstrip("/"))))

    def read(self, key: str) -> Entry | None:
        kept = self.entries.read(self.path(key))
        return Entry(self.value(key, kept), str(kept.version)) if kept.values is not None else None

    def value(self, key: str, kept: Kept) -> bytes:
        """The bytes of an entry.

        :raises StoreError: it is damaged.
        """
        values = kept.values or {}
        try:
            return (
                str(values["text"]).encode() if "text" in values else base64.b64decode(values["base64"], validate=True)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"'{key}' in {self.describe()} is damaged", remedy="restore it (bao kv rollback)"
            ) from error

    def put(self, key: str, value: bytes, *, expect: str | None) -> str:
        path = self.path(key)
        if expect is not None and not VERSION.fullmatch(expect):
            raise self.changed(key)
        try:
            values = {"text": value.decode()}
        except UnicodeDecodeError:
            values = {"base64": base64.b64encode(value).decode()}
        timeout = WRITE if self.leases else None
        try:
            version = self.entries.write(
                path, values, expect=int(expect or 0), timeout=timeout, before=self.check_right
            )
        except StoreConflict:
            raise self.changed(key) from None
        return str(version)

    def delete(self, key: str, *, expect: str) -> None:
        if self.version(key) != expect:
            raise self.changed(key)
        self.check_right()
        self.entries.destroy(self.path(key))

    def changed(self, key: str) -> StoreConflict:
        """Somebody else was faster."""
        return StoreConflict(
            f"{self.describe()}: '{key}' was changed by another run", remedy="run again: nothing was lost"
        )

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: float = 60.0) -> Iterator[None]:
        lease = Lease(self.entries, f"{self.root}/locks/{check_key(name)}", name)
        lease.acquire(wait)
        self.leases.append(lease)
        try:
            yield
        finally:
            self.leases.remove(lease)
            lease.release()

    def check_right(self) -> None:
        """:raises StoreError: it is closed; :raises StoreBusy: a lock of ours may be another's by now; whoever lost it must not write."""
        self.refuse_closed()
        # Other threads take locks and give them back meanwhile.
        for lease in tuple(self.leases):
            try:
                lease.check()
            except StoreBusy:
                if lease in self.leases:
                    raise

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        ledger = self.ledger_session()
        yield ledger
        ledger.finish()

    def ledger_session(self) -> openbao_ledger.KeyValueLedger:
        """One that writes nothing once the store is closed."""
        return openbao_ledger.KeyValueLedger(self.entries, f"{self.root}/ledger", self.refuse_closed)

    def take_over(self, records: Iterable[Record]) -> None:
        self.ledger_session().take_over(records, self.describe())

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        # Everything is read twice: first to know a moment of the leader's clock that has passed, then as it was then.
        newest = Chain(self.entries, f"{self.root}/ledger").newest()
        ends = [kept.created for _key, kept in self.all_kept(None)]
        moment = max([*ends, newest.created if newest else NEVER])
        entries = {key: self.value(key, kept) for key, kept in self.all_kept(moment) if kept.values is not None}
        head, records = openbao_ledger.records(self.entries, f"{self.root}/ledger", moment)
        yield Snapshot(entries, lambda: iter(records), head)

    def all_kept(self, moment: Moment | None) -> Iterator[tuple[str, Kept]]:
        """All entries, as they are or were at a moment."""
        keys = self.names()
        return zip(keys, self.entries.read_all([self.path(key) for key in keys], moment))

    def issuances(self, *, issuer: str | None = None, since: int = 0) -> Iterator[Issuance]:
        return openbao_ledger.issuances(self.entries, f"{self.root}/ledger", issuer, since)

    def revocations(self, issuer: str) -> Iterator[Revocation]:
        return openbao_ledger.revocations(self.entries, f"{self.root}/ledger", issuer)

    def path(self, key: str) -> str:
        """Where an entry lies.

        :raises StoreError: the key could lead elsewhere.
        """
        return f"{self.root}/entries/{check_key(key)}"


PROVIDER = OpenBaoStore
