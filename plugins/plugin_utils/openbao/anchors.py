# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The anchors of a PKI mount of OpenBao, kept in the store so that a run with nothing due asks nobody.

``issuers/NAME/anchors.json``, without a secret::

    {"version": 1, "source": "https://… pki", "fetched_at": seconds, "tried_at": seconds, "ids": [...],
     "certificates": [{"pem": …, "anchor": true, "until": null}, ...]}

What the mount says is asked for without a token. It counts for :data:`FRESH`; then one run of all asks again, and where that fails
what is kept goes on counting. Every issuer that the mount has is an anchor (or leads to one), so that a CA can be replaced there in
two steps, trusted first, used then. An anchor that leaves the mount stays until the last certificate of it in the ledger has ended.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    IssuerError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.connection import Connection
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.anchor_text import check_is_ca
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    fingerprint,
    is_issued_by,
    parse_pem_chain,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP, JsonEntry

# Seconds for which an answer counts; and after which one that did not come is asked for again.
FRESH = 86400
AGAIN = 600


@dataclass(frozen=True)
class StoredAnchors:
    """A CA certificate. ``until``: seconds since the epoch, for an anchor that the mount has no more."""

    certificate: x509.Certificate
    anchor: bool
    until: int | None = None


@dataclass(frozen=True)
class State:
    """What is kept; moments are seconds since the epoch, ``ids`` the mount's own for its issuers."""

    source: str
    fetched_at: int
    tried_at: int
    ids: tuple[str, ...] = ()
    known: tuple[StoredAnchors, ...] = field(default=())

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> State:
        """:raises ValueError, KeyError, TypeError, CertificateError: not what :meth:`as_json` gives."""
        known = tuple(
            StoredAnchors(parse_pem_chain(each["pem"])[0], bool(each["anchor"]), each["until"])
            for each in raw["certificates"]
        )
        ids = tuple(str(each) for each in raw["ids"])
        return cls(str(raw["source"]), int(raw["fetched_at"]), int(raw["tried_at"]), ids, known)

    def as_json(self) -> dict[str, Any]:
        """The form it is kept in."""
        certificates = [
            {"pem": to_pem(each.certificate), "anchor": each.anchor, "until": each.until} for each in self.known
        ]
        times = {"fetched_at": self.fetched_at, "tried_at": self.tried_at}
        return {"source": self.source, **times, "ids": list(self.ids), "certificates": certificates}

    def anchors(self) -> tuple[x509.Certificate, ...]:
        """What is trusted."""
        return tuple(each.certificate for each in self.known if each.anchor)

    def is_due(self, source: str, now: int) -> bool:
        """Whether the mount is to be asked."""
        if self.source != source:
            return True
        return now - self.fetched_at > FRESH and now - self.tried_at > AGAIN


class MountAnchors:
    """The anchors of one issuer.

    :param name: the issuer's.
    :param mount: of the PKI engine.
    :param roots: what the user says the mount's issuers lead to, where the mount does not know it.
    """

    def __init__(
        self, name: str, store: Store, connection: Connection, mount: str, roots: Sequence[x509.Certificate]
    ) -> None:
        self.name = name
        self.store = store
        self.connection = connection
        self.mount = mount
        self.roots = tuple(roots)
        remedy = f"{BACKUP}, or remove it: it is then fetched anew"
        self.entry = JsonEntry(store, f"issuers/{name}/anchors.json", State.from_json, State.as_json, remedy)
        server = connection.server
        marks = [" ".join(server.urls), server.namespace, mount, *sorted(fingerprint(root) for root in self.roots)]
        self.source = " ".join(filter(None, marks))

    def kept(self) -> State | None:
        """What the store has.

        :raises DamagedEntry: it is damaged.
        """
        return self.entry.read()

    def current(self, now: dt.datetime) -> State | None:
        """What is kept, brought up to date where that is due; None: nothing was ever fetched."""
        state = self.kept()
        if state is None or not state.is_due(self.source, int(now.timestamp())):
            return state
        with self.store.lock(f"issuers/{self.name}"):
            state = self.kept()
            if state is None or not state.is_due(self.source, int(now.timestamp())):
                return state
            try:
                return self.fetch(state, now)
            except TlsError:
                if state.source != self.source:
                    raise
                return self.keep(replace(state, tried_at=int(now.timestamp())))

    def update(self, now: dt.datetime) -> State:
        """Make sure that every issuer of the mount is among what is kept. One request where it is.

        :raises IssuerError: the mount has no issuer, or one that leads to no root.
        """
        state, ids = self.kept(), self.issuer_ids()
        if state is not None and state.source == self.source and set(state.ids) == set(ids):
            return state
        with self.store.lock(f"issuers/{self.name}"):
            return self.fetch(self.kept(), now)

    def issuer_ids(self) -> tuple[str, ...]:
        """The mount's issuers.

        :raises IssuerError: it has none.
        """
        answer = self.connection.request("LIST", f"{self.mount}/issuers", accept=(404,), anonymous=True)
        data = answer.data.get("data")
        keys = data.get("keys") if isinstance(data, Mapping) else None
        if not isinstance(keys, list) or not keys:
            raise IssuerError(
                f"{self.connection.describe()}: the mount '{self.mount}/' has no CA",
                remedy="make or import one there (bao write pki/root/generate/internal ...)",
            )
        return tuple(str(key) for key in keys)

    def fetch(self, before: State | None, now: dt.datetime) -> State:
        """Ask the mount, and keep what it says. The caller has the lock."""
        ids = self.issuer_ids()
        certificates = list(self.roots)
        for each in ids:
            answer = self.connection.request("GET", f"{self.mount}/issuer/{each}/json", anonymous=True)
            certificates += certificates_of(answer.data.get("data"))
        known = self.sort_out(certificates)
        left = [each for each in before.known if each.anchor] if before else []
        kept = self.still_needed(left, {fingerprint(each.certificate) for each in known}, now)
        moment = int(now.timestamp())
        return self.keep(State(self.source, moment, moment, ids, (*known, *kept)))

    def keep(self, state: State) -> State:
        """Write it."""
        self.entry.replace(state)
        return state

    def sort_out(self, certificates: Iterable[x509.Certificate]) -> tuple[StoredAnchors, ...]:
        """Roots, and what leads to them; each once.

        Others are none of our business: a cross-signed issuer beside its self-signed twin, say, or one that no role uses. Whatever they
        sign leads to no anchor, and is refused.

        :raises IssuerError: no issuer leads to a root that is known.
        """
        unique = {fingerprint(each): each for each in certificates}
        known: list[StoredAnchors] = []
        for each in unique.values():
            check_is_ca(f"{self.connection.describe()}: {self.mount}", each)
            is_root = is_issued_by(each, each) or each in self.roots
            if is_root or any(is_issued_by(each, other) for other in unique.values()):
                known.append(StoredAnchors(each, is_root))
        if not any(each.anchor for each in known):
            names = ", ".join(f"'{each.subject.rfc4514_string()}'" for each in unique.values())
            raise IssuerError(
                f"{self.connection.describe()}: the mount '{self.mount}/' does not have the root of {names}",
                remedy=f"import the root's certificate there ({self.mount}/issuers/import/cert), or set root",
            )
        return tuple(known)

    def still_needed(
        self, left: Iterable[StoredAnchors], present: set[str], now: dt.datetime
    ) -> tuple[StoredAnchors, ...]:
        """Anchors that the mount has no more, as long as certificates of theirs may be in use."""
        gone = [each for each in left if fingerprint(each.certificate) not in present]
        moment = int(now.timestamp())
        if any(each.until is None for each in gone):
            last = max((row.not_after for row in self.store.issuances(issuer=self.name)), default=0)
            gone = [each if each.until is not None else replace(each, until=last) for each in gone]
        return tuple(each for each in gone if (each.until or 0) > moment)


def certificates_of(data: Any) -> list[x509.Certificate]:
    """The certificates of an answer about an issuer, its chain with it.

    :raises CertificateError: they are damaged.
    """
    data = data if isinstance(data, Mapping) else {}
    chain = data.get("ca_chain")
    texts = [data.get("certificate"), *(chain if isinstance(chain, list) else [])]
    return [certificate for text in texts if text for certificate in parse_pem_chain(str(text))]
