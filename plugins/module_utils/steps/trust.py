# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step ``trust``: anchors in the system's trust store and in bundle files. They were checked on the controller."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.batch import (
    Change,
    WantedFile,
    compare,
    digests,
    kept_files,
    swap,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_plain
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals
from ansible_collections.fleet.tls.plugins.module_utils.files.places import remove_if_there
from ansible_collections.fleet.tls.plugins.module_utils.files.taken import BUNDLES_RECORD, SYSTEM_RECORD, TakenFiles
from ansible_collections.fleet.tls.plugins.module_utils.services import settle as services
from ansible_collections.fleet.tls.plugins.module_utils.services.change import HostChange, carry_out, taken_again
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import resolve
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import refuse_unreloadable
from ansible_collections.fleet.tls.plugins.module_utils.services.trust_stores import (
    STORES,
    TrustStore,
    find_trust_store,
)
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import run


def trust_step(request: dict[str, Any], stores: Sequence[TrustStore] = STORES) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md.

    :raises StepError: no_anchors, no_trust_store, cannot_reload, trust_update_failed, not_trusted, not_permitted, disk_full, unknown_user, io.
        What had been changed by then is undone.
    """
    if request["bundles"] and not request["anchors"]:
        raise StepError("no_anchors", "there is no trust anchor to install", "nothing was changed")
    with nullcontext() if request["check"] else host_lock(request["directory"]):
        return install(request, stores)


def install(request: dict[str, Any], stores: Sequence[TrustStore]) -> tuple[bool, dict[str, Any]]:
    """The step, under the host's lock."""
    anchors = request["anchors"]
    changed = False
    # Both are looked at before either is changed: what cannot be read fails the step while all is as it was.
    system = system_trust(request, stores)
    bundles = Bundles(request, "".join(f"{anchor['comment']}\n{anchor['pem']}" for anchor in anchors))
    answer: dict[str, Any] = {
        "family": None,
        "changed_paths": [],
        "diff": [],
        "kept_files": kept_files(bundles.changes),
        "services": {},
        "error": None,
    }
    if bundles.due:
        refuse_unreloadable(bundles.services)
    for part in (system, bundles):
        if part is not None and part.due:
            changed = True
            answer["changed_paths"] += [each.wanted.path for each in part.changes]
            answer["diff"] += [each.as_diff() for each in part.changes]
            if not request["check"]:
                part.install()
    if not bundles.due and not request["check"]:
        # Those that were installed before there was this record.
        bundles.note()
    answer["family"] = system.store.family if system else None
    answer["services"] = bundles.outcome.states
    if bundles.outcome.error:
        answer["error"] = bundles.outcome.error.as_answer()
        if bundles.outcome.rolled_back:
            answer["kept_files"] = {}
    return changed, answer


def system_trust(request: dict[str, Any], stores: Sequence[TrustStore]) -> SystemTrust | None:
    """The system's part: the anchors, or nothing of ours where none is wanted there; None: it is left alone.

    :raises StepError: no_trust_store.
    """
    if request["system"] is None:
        return None
    anchors = request["anchors"] if request["system"] else []
    store = find(stores) if anchors else find_trust_store(stores)
    return SystemTrust(store, anchors, request["directory"]) if store else None


def find(stores: Sequence[TrustStore]) -> TrustStore:
    """The host's trust store.

    :raises StepError: no_trust_store.
    """
    store = find_trust_store(stores)
    if store is None:
        raise StepError(
            "no_trust_store",
            f"this host has no system trust store that is known ({', '.join(each.family for each in stores)})",
            "install the package ca-certificates, or use bundles and no system trust store; nothing was changed",
        )
    return store


class SystemTrust:
    """Our files in the system's trust store, merged by the system's own program."""

    def __init__(self, store: TrustStore, anchors: Sequence[dict[str, str]], directory: str) -> None:
        self.store = store
        self.pems = [anchor["pem"] for anchor in anchors]
        self.wanted = [WantedFile(store.path(anchor["name"]), anchor["pem"].encode()) for anchor in anchors]
        paths = {wanted.path for wanted in self.wanted}
        unwanted = [WantedFile(path) for path in store.ours() if path not in paths]
        self.record = TakenFiles(directory, SYSTEM_RECORD)
        self.changes = compare([*self.wanted, *unwanted])

    @property
    def due(self) -> bool:
        """Whether files differ, or a run was killed before they were merged, or somebody undid the merge."""
        merged = self.record.known == digests(self.wanted) and not self.store.lacks(self.pems)
        return bool(self.changes) or not merged

    def install(self) -> None:
        """Write, merge, and look whether the anchors came through.

        :raises StepError: trust_update_failed, not_trusted; the files are as before then.
        """
        before = [restored(change) for change in self.changes]
        write(self.changes)

        def undo() -> list[str]:
            write(compare(before))
            return [f"our files in {self.store.directory} are as they were before"]

        def came_through() -> StepError | None:
            error = self.left_out()
            if error is None:
                self.store.drop_leftovers([(each.content or b"").decode(errors="replace") for each in before])
            return error

        error = carry_out(
            HostChange(
                take=self.merge,
                prove=came_through,
                undo=undo,
                retake=lambda problem: taken_again([self.merge], problem),
            )
        ).error
        if error:
            raise error
        self.record.record(digests(self.wanted), all_there_is=True)

    def merge(self) -> None:
        """Run the system's program.

        :raises StepError: trust_update_failed.
        """
        run(self.store.update, "trust_update")
        for path in self.store.orphans():
            remove_if_there(path)

    def left_out(self) -> StepError | None:
        """The error for anchors that did not come through; None: all did."""
        lacking = self.store.lacks(self.pems)
        if not lacking:
            return None
        return StepError(
            "not_trusted",
            f"'{' '.join(self.store.update)}' left {len(lacking)} of {len(self.pems)} anchors out of {self.store.bundle}",
            "run it by hand and see what it says",
        )


class Bundles:
    """Bundle files and the services that read them."""

    def __init__(self, request: dict[str, Any], content: str) -> None:
        self.wanted = [WantedFile(content=content.encode(), **each) for each in request["bundles"]]
        self.originals = Originals(request["directory"])
        self.changes = compare(self.wanted, self.originals)
        self.services = [resolve(raw) for raw in request["services"]]
        self.records = [TakenFiles(request["directory"], service.name) for service in self.services]
        self.ours = TakenFiles(request["directory"], BUNDLES_RECORD)
        self.outcome = services.Settled()

    @property
    def due(self) -> bool:
        """Whether a file differs, or a service was not reloaded since."""
        return bool(self.changes) or not all(record.covers(digests(self.wanted)) for record in self.records)

    def install(self) -> None:
        """Write the bundles and let the services take them; ``outcome`` says how that went."""
        transaction = swap(self.changes, self.originals)
        rollback = transaction.rollback if self.changes else None
        self.outcome = services.settle(self.services, [], 0, rollback)
        if self.outcome.error:
            kept = "the bundles are as they were before" if self.outcome.rolled_back else "the bundles stay as they are"
            self.outcome.error.message = f"{self.outcome.error.message}; {kept}"
            return
        transaction.commit()
        self.note()

    def note(self) -> None:
        """Record what the services have taken, and which bundles are ours.

        :raises StepError: as :meth:`TakenFiles.record`.
        """
        for record in (*self.records, self.ours):
            record.record(digests(self.wanted))


def restored(change: Change) -> WantedFile:
    """What undoes a change. In memory, as p11-kit would read an old file that was kept in its directory under another name."""
    return replace(change.wanted, content=read_plain(change.wanted.path))


def write(changes: Sequence[Change]) -> None:
    """Make changes at once and for good."""
    swap(changes).commit()
