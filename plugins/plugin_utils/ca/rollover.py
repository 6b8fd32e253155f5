# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An internal CA replaced in stages: the operations on the store. When each of them may happen is told by ``rotation.py``.

Each is done once, however often it is asked for, and a kill inside it leaves the state before: ``ca.json`` is written last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, RotationError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.cross import top_below
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.keeper import Keeper
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState, number_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    BACKDATE,
    generate_key,
    make_leaf,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_within import name_within
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, is_issued_by, subject_text, to_pem

CANARY_NAME = "canary.fleet-tls.invalid"
# Rows of the ledger for certificates that it did not know when they were revoked.
STRANGER_NAME = "stranger.fleet-tls.invalid"
# As far as clocks of hosts may be off (BACKDATE on the other side), and a while for the run.
CANARY_LIFETIME = BACKDATE + dt.timedelta(hours=1)


@dataclass(frozen=True)
class CanaryPair:
    """A leaf that shows who trusts a CA: good for servers and clients, short-lived, its key kept nowhere.

    :param chain: PEM, leaf first.
    :param key: PEM, PKCS#8, not encrypted; never part of a repr.
    """

    chain: str
    key: str
    server_name: str = CANARY_NAME

    def __repr__(self) -> str:
        return "Canary()"


@dataclass(frozen=True)
class CaRollover:
    """The operations on one CA."""

    ca: Keeper

    def state(self) -> CaState:
        """The CA's state.

        :raises IssuerError: there is no CA yet that issues.
        """
        state = self.ca.state()
        if state is None or not state.issuing:
            raise IssuerError(
                f"the CA '{self.ca.name}' does not exist yet: there is nothing to replace",
                remedy="run fleet.tls.deploy first",
            )
        return state

    def next_root(self) -> str:
        """The root that is to take over: the one that is prepared, or the next one.

        :raises RotationError: the inventory wants to go on with the present root, whose key is elsewhere.
        """
        state = self.state()
        if state.successor:
            return state.successor[0]
        self.ca.refuse_same_root(state)
        return f"root-{number_of(state.root) + 1}"

    def prepare(self, root_id: str, now: dt.datetime) -> CaState:
        """A new root and issuing CA beside those that sign, trusted and not yet used. Nothing to do where they are there.

        :param root_id: from :meth:`next_root`: a run that was killed may have had it take over already.
        :raises RotationError: the next root's key is elsewhere, and the CSR of its issuing CA is not signed yet.
        :raises TlsError: a key cannot be sealed, or the store not be written.
        """
        with self.ca.store.lock(f"ca/{self.ca.name}"):
            state = self.state()
            if state.successor or state.root == root_id:
                return state
            prepared = self.ca.next_pair(root_id, state, now)
            self.ca.keep_state(prepared)
            return prepared

    def activate(self) -> CaState:
        """Issue from the new one. Nothing to do where it does."""
        with self.ca.store.lock(f"ca/{self.ca.name}"):
            state = self.state()
            if state.successor is None:
                return state
            self.ca.keep_state(state.activated())
            return state.activated()

    def retire(self) -> CaState:
        """Trust the old one no more. Nothing to do where nobody does."""
        with self.ca.store.lock(f"ca/{self.ca.name}"):
            state = self.state()
            if not state.old_roots:
                return state
            self.ca.keep_state(state.retired())
            return state.retired()

    def superseded(self, chain: Sequence[x509.Certificate]) -> str | None:
        """Why a trusted chain is to be replaced, in words; None: it leads to the root that signs now, or to none of ours."""
        state = self.ca.state()
        if state is None or not chain:
            return None
        top = self.top(chain, state) if state.old_roots else chain[-1]
        for old in state.old_roots:
            if is_issued_by(top, self.ca.certificate(old)):
                return f"it is from {old} of '{self.ca.name}', and {state.root} has taken over"
        return None

    def signing_roots(self) -> tuple[x509.Certificate, ...]:
        """The root below which certificates are issued now; empty where there is no CA yet."""
        state = self.ca.state()
        return (self.ca.certificate(state.root),) if state else ()

    def is_current(self, chain: Sequence[x509.Certificate]) -> bool:
        """Whether a chain leads to the root that signs now."""
        state = self.state()
        return is_issued_by(self.top(chain, state), self.ca.certificate(state.root))

    def top(self, chain: Sequence[x509.Certificate], state: CaState) -> x509.Certificate:
        """What a root of ours has signed of a chain: servers may send a root that an older one has signed."""
        roots = [self.ca.certificate(each) for each in dict.fromkeys((state.root, *state.trusted))]
        return top_below(chain, [*roots, *self.retired_roots(state)])

    def refuse_later(self, chain: Sequence[x509.Certificate]) -> None:
        """Refuse to go on with a store that is older than what the hosts show.

        :raises RotationError: a chain is from a CA that is prepared and signs nothing yet, or from one that the store does not know.
        """
        state = self.state()
        top = self.top(chain, state)
        known = [each for each in state.trusted if is_issued_by(top, self.ca.certificate(each))]
        successor = state.successor[0] if state.successor else None
        retired = () if known else self.retired_roots(state)
        if known and known[0] != successor or any(is_issued_by(top, root) for root in retired):
            return
        what = f"{successor}, which signs nothing yet" if known else "a CA that is not there"
        raise RotationError(
            f"'{subject_text(chain[0])}' is from {what} by {self.ca.store.describe()}: the store is older than the fleet",
            remedy="restore the newest copy of the store; nothing was changed",
        )

    def retired_roots(self, state: CaState) -> tuple[x509.Certificate, ...]:
        """The roots before the present one that are trusted no more, as far as the store has them."""
        numbers = range(1, number_of(state.root))
        names = (f"root-{number}" for number in numbers if f"root-{number}" not in state.trusted)
        return tuple(self.ca.certificate(each) for each in names)

    def pairs(self) -> dict[str, tuple[str, str]]:
        """Root and issuing CA of the ``old`` and the ``new`` CA; no ``old`` where its issuing CA is not in the store any more."""
        state = self.state()
        if state.successor:
            return {"old": (state.root, state.issuing), "new": state.successor}
        found = {"new": (state.root, state.issuing)}
        old = (*state.old_roots, f"root-{number_of(state.root) - 1}")[0]
        if number_of(old) < 1:
            return found
        above, issuing = self.ca.certificate(old), self.ca.issuing_authorities(state)
        # One that was adopted may have issued by itself.
        itself = {old: above} if old in state.adopted else {}
        for each, certificate in (*reversed(issuing.items()), *itself.items()):
            if self.ca.knows_key(each) and is_issued_by(certificate, above):
                return {"old": (old, each), **found}
        return found

    def canaries(self, now: dt.datetime) -> dict[str, CanaryPair]:
        """Canaries of the ``old`` and the ``new`` CA; errors as :meth:`canary`."""
        return {name: self.canary(*pair, now) for name, pair in self.pairs().items()}

    def canary(self, root_id: str, issuing_id: str, now: dt.datetime, serial: int | None = None) -> CanaryPair:
        """A canary of an issuing CA below a root.

        :param serial: its serial number; None: one that nobody has.
        :raises TlsError: the issuing CA's key cannot be opened.
        """
        issuing, root = self.ca.authority(issuing_id), self.ca.certificate(root_id)
        if not is_issued_by(issuing.certificate, root):
            raise IssuerError(
                f"'{subject_text(issuing.certificate)}' is not below {root_id} of the CA '{self.ca.name}'",
                remedy="restore the store from its backup",
            )
        key = generate_key("ecdsa-p256")
        name = name_within((root, issuing.certificate), CANARY_NAME)
        names, usages = Names(dns_names=(name,)), ("server_auth", "client_auth")
        lifetime = min(CANARY_LIFETIME, issuing.certificate.not_valid_after_utc - now)
        leaf = make_leaf(key.public_key(), names, usages, issuing, now, lifetime, serial=serial)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return CanaryPair(to_pem(leaf) + to_pem(issuing.certificate), pem.decode(), name)
