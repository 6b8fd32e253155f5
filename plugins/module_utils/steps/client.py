# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step ``client``: the trust bundles of mTLS clients, and the proof that servers accept them; what worked before comes back.

``<directory>/services/client-<name>.json`` says with which bundle and which pair a client was accepted last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.batch import (
    WantedFile,
    compare,
    digests,
    kept_files,
    swap,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals
from ansible_collections.fleet.tls.plugins.module_utils.files.taken import TakenFiles
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import Transaction, relink
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import Layout
from ansible_collections.fleet.tls.plugins.module_utils.proof.client import Proof, prove, refused
from ansible_collections.fleet.tls.plugins.module_utils.services import daemons
from ansible_collections.fleet.tls.plugins.module_utils.services import settle as services
from ansible_collections.fleet.tls.plugins.module_utils.services.change import HostChange, carry_out, no_notes
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import refuse_unreloadable

ACCEPTED_AGAIN, NOT_ACCEPTED_AGAIN = (
    "with that it is accepted",
    "it is not accepted with what was there before either",
)


def client_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md. What goes wrong with one client is its ``error``, and costs no other one."""
    check = bool(request["check"])
    with nullcontext() if check else host_lock(request["directory"]):
        answers = {raw["name"]: one_client(raw, request) for raw in request["clients"]}
    return any(each["changed"] for each in answers.values()), {"clients": answers}


def one_client(raw: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """One client's answer."""
    try:
        client = ClientRun(raw, request)
        if request["check"]:
            return client.foresee()
        return client.converge()
    except StepError as error:
        return answer(error=error)
    except OSError as error:
        return answer(error=from_os_error(error, f"client '{raw['name']}'"))


def answer(error: StepError | None = None, proof: Sequence[Proof] = (), **known: Any) -> dict[str, Any]:
    """One client's part of the answer."""
    found: dict[str, Any] = {
        "changed": False, "changed_paths": [], "diff": [], "kept_files": {}, "rolled_back": False, "services": {},
    }  # fmt: skip
    found.update(known)
    if found["rolled_back"]:
        found["kept_files"] = {}
    found["proof"] = [each.as_answer() for each in proof]
    found["error"] = error.as_answer() if error else None
    return found


class ClientRun:
    """One client of this host, and how it stands."""

    def __init__(self, raw: dict[str, Any], request: dict[str, Any]) -> None:
        self.endpoints = raw["endpoints"]
        self.timeout = float(request["prove_timeout"])
        self.now = float(request["now"])
        self.layout = Layout(request["directory"], raw["certificate"])
        self.number = self.layout.current()
        self.manifest = None if self.number is None else self.layout.manifest(self.number)
        bundle = raw["bundle"]
        self.bundle = str(bundle["path"]) if bundle else None
        self.wanted = [WantedFile(**{**bundle, "content": bundle["content"].encode()})] if bundle else []
        self.originals = Originals(request["directory"])
        self.changes = compare(self.wanted, self.originals)
        self.services = [daemons.resolve(each) for each in raw["services"]]
        self.record = TakenFiles(request["directory"], f"client-{raw['name']}")
        self.transaction = Transaction()

    @property
    def state(self) -> dict[str, str]:
        """What the record is about: the bundle, and which pair is live."""
        return {**digests(self.wanted), self.layout.live: str((self.manifest or {}).get("fingerprint"))}

    @property
    def due(self) -> bool:
        """Whether there is anything that this client was not yet accepted with."""
        return bool(self.changes) or not self.record.covers(self.state)

    def foresee(self) -> dict[str, Any]:
        """Check mode: what would change; where nothing would, the proof, which changes nothing.

        :raises StepError: cannot_reload.
        """
        if self.due or self.number is None:
            refuse_unreloadable(self.services)
            return answer(changed=True, **self.changed_files())
        proof = prove(self.endpoints, self.layout.generation(self.number), self.bundle, self.timeout)
        return answer(refused(proof), proof)

    def converge(self) -> dict[str, Any]:
        """Install the bundle, prove, let the services take it; or back to what was accepted before.

        :raises StepError: no_certificate, cannot_reload, or the bundle cannot be written; nothing was changed then.
        """
        if self.number is None or self.manifest is None:
            raise StepError(
                "no_certificate",
                f"the certificate '{self.layout.name}' is not on this host",
                "run fleet.tls.certificates first, and see why it could not be issued",
            )
        due, files = self.due, self.changed_files()
        if due:
            refuse_unreloadable(self.services)
        self.transaction = swap(self.changes, self.originals)
        proof: list[Proof] = []

        def accepted() -> StepError | None:
            proof[:] = self.prove()
            return refused(proof)

        replaced = any(change.before for change in self.changes)
        outcome = carry_out(
            HostChange(
                prove=accepted,
                undo=self.bundle_back if replaced else None,
                prove_old=self.accepted_again if self.record.known else no_notes,
            )
        )
        if outcome.error:
            return self.not_accepted(outcome.error, proof, files, undone=outcome.undone)
        settled = services.Settled()
        if due:
            settled = services.settle(self.services, [], 0, self.transaction.rollback if self.changes else None)
            if settled.error:
                return self.not_taken(settled, proof, files)
        self.transaction.commit()
        self.record.record(self.state, all_there_is=True)
        return answer(None, proof, changed=due, services=settled.states, **files)

    def changed_files(self) -> dict[str, Any]:
        """The paths that change, and how."""
        return {
            "changed_paths": [each.wanted.path for each in self.changes],
            "diff": [each.as_diff() for each in self.changes],
            "kept_files": kept_files(self.changes),
        }

    def prove(self, timeout: float | None = None) -> list[Proof]:
        """The proof with the files as they are now; it follows the live link, as the client's programs do."""
        return prove(self.endpoints, self.layout.live, self.bundle, self.timeout if timeout is None else timeout)

    def not_taken(self, settled: services.Settled, proof: Sequence[Proof], files: dict[str, Any]) -> dict[str, Any]:
        """Servers accept the client, but a service of its own host did not take the files."""
        if not settled.rolled_back:
            self.transaction.commit()
        kept = "the bundle is as it was before" if settled.rolled_back else "the files stay as they are"
        if settled.error:
            settled.error.message = f"{settled.error.message}; {kept}"
        changed = bool(self.changes) and not settled.rolled_back
        return answer(
            settled.error, proof, changed=changed, rolled_back=settled.rolled_back, services=settled.states, **files
        )

    def not_accepted(
        self, error: StepError, proof: Sequence[Proof], files: dict[str, Any], *, undone: bool
    ) -> dict[str, Any]:
        """A server refuses the client. What is new stays where nothing worked before it: there is nothing to go back to."""
        back = undone
        if not undone:
            self.transaction.commit()
            notes: list[str] = []
            if self.record.known and self.earlier() is not None:
                back = self.pair_back(notes)
                notes.append(ACCEPTED_AGAIN if back else NOT_ACCEPTED_AGAIN)
            if not back:
                notes.append("the files stay as they are")
            error.message = "; ".join([error.message, *notes])
        return answer(error, proof, changed=bool(self.changes) and not back, rolled_back=back, **files)

    def bundle_back(self) -> list[str]:
        """The bundle that was there before."""
        return [*self.transaction.rollback(), "the bundle is as it was before"]

    def accepted_again(self, _problem: StepError) -> list[str]:
        """Whether the client is accepted with the bundle from before; where that is not enough, with the pair that was accepted last."""
        notes: list[str] = []
        accepted = refused(self.prove(0)) is None or self.pair_back(notes)
        return [*notes, ACCEPTED_AGAIN if accepted else NOT_ACCEPTED_AGAIN]

    def pair_back(self, notes: list[str]) -> bool:
        """Make the pair that was accepted last live again, if it still is; else leave the present one."""
        earlier, present = self.earlier(), self.number
        if earlier is None or present is None:
            return False
        if any(each.get("method") != "link" for each in (self.manifest or {}).get("outputs", {}).values()):
            notes.append("the certificate before was not put back, as there are copies of the present one")
            return False

        def undo() -> list[str]:
            self.relink(present)
            return []

        outcome = carry_out(
            HostChange(take=lambda: self.relink(earlier), prove=lambda: refused(self.prove(0)), undo=undo)
        )
        if outcome.error is None:
            notes.append(f"the certificate before ({self.accepted()[:16]}) is live again")
        return outcome.error is None

    def accepted(self) -> str:
        """The fingerprint of the pair that was accepted last, empty: none was."""
        return str(self.record.known.get(self.layout.live) or "")

    def earlier(self) -> int | None:
        """The generation of the pair accepted last, where it is another one than the live, whole, and has not expired."""
        for number in self.layout.numbers():
            manifest = self.layout.manifest(number)
            if manifest and number != self.number and manifest["fingerprint"] == self.accepted():
                whole = all(
                    os.path.isfile(os.path.join(self.layout.generation(number), name)) for name in manifest["files"]
                )
                return number if whole and float(manifest.get("not_after") or 0) > max(self.now, time.time()) else None
        return None

    def relink(self, number: int) -> None:
        """Make a generation live."""
        relink(self.layout.live, self.layout.target(number))
