# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step ``retire``: what is wanted no more is taken out of the services' way, proven to be served nowhere, and then removed.

Nothing is taken from a service that still uses it: until the proof, all of it can be put back. See docs/retire.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.batch import shown
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read, read_plain
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals, kept_path, one_file
from ansible_collections.fleet.tls.plugins.module_utils.files.places import (
    refuse_unsafe,
    remove_all,
    remove_if_there,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import Transaction, link_target, undo_killed
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import Layout
from ansible_collections.fleet.tls.plugins.module_utils.pair.retiring import BUNDLE, POOL, Holdings, Retiring
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import EndpointReport, ProofTarget, look_at
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import resolve
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import (
    checked_though_stopped,
    refuse_unreloadable,
)
from ansible_collections.fleet.tls.plugins.module_utils.services.settle import Settled, settle
from ansible_collections.fleet.tls.plugins.module_utils.services.ticket_boot import BootUnit
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import targets_of
from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import fingerprint


def retire_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md.

    :raises StepError: cannot_reload, unsafe_path, busy. Nothing was changed then.
    """
    retirement = Retirement(request)
    retirement.refuse_impossible()
    if request["check"] or not retirement.is_due:
        return retirement.is_due, retirement.answer()
    with host_lock(request["directory"]):
        # A killed run may have taken away what its services did not agree to.
        Retirement(request).undo_killed()
        Originals(request["directory"]).tidy()
        retirement = Retirement(request)
        changed = retirement.carry_out()
        if request["whole"] and not retirement.errors:
            retirement.holdings.remove_directory()
    return changed, retirement.answer()


class Retirement:
    """All that is retired in one step.

    :ivar there: what of ours the host has before anything is done.
    :ivar items: those of what is to be retired of which anything is there.
    :ivar errors: why one of them stays, by its text.
    :ivar returning: fingerprints of what lies in the files that come back: a pair that was taken over is served again from there.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.holdings = Holdings(request["directory"], request["claimed"])
        self.there = self.holdings.as_answer()
        self.items = [each for each in wanted(self.holdings, request) if each.is_there]
        self.services = [resolve(each) for each in request["services"]]
        self.going = {each.text: each.going() for each in self.items}
        self.given_back = {
            path: kept
            for each in self.items
            for path, ours in each.files.items()
            if ours
            for kept in [self.holdings.originals.kept(path)]
            if kept is not None
        }
        self.returning = {mark for kept in self.given_back.values() for mark in fingerprints_in(kept)}
        self.diff = [entry for each in self.items for entry in diff_of(each, self.given_back)]
        self.errors: dict[str, StepError] = {}
        self.settled = Settled()
        self.proof: list[EndpointReport] = []

    @property
    def is_due(self) -> bool:
        """Whether anything is to be done; of a host as a whole also where our empty directories are all that is left."""
        return bool(self.items) or (bool(self.request["whole"]) and self.holdings.is_bare)

    def refuse_impossible(self) -> None:
        """:raises StepError: unsafe_path, cannot_reload."""
        if self.items:
            refuse_unsafe(*(path for each in self.items for path in each.seen))
            refuse_unreloadable(self.services)

    def undo_killed(self) -> None:
        """Put back what a run that was killed took out of the services' way; what somebody has put there since stays."""
        for path in (path for each in self.items for path in each.seen):
            kept = kept_path(path)
            undo_killed(path, back=not os.path.lexists(path) or one_file(path, kept))

    def carry_out(self) -> bool:
        """Retire what can be; whether anything was changed."""
        self.errors.update(self.in_use())
        items = [each for each in self.items if each.text not in self.errors]
        if not items:
            return not self.items
        try:
            services = checked_though_stopped(self.services)
            transaction = self.moved_away(items)
            self.settled = settle(
                services,
                [],
                self.request["prove_timeout"],
                transaction.rollback,
                further=lambda seconds: self.still_served(items, seconds),
            )
            if self.settled.error:
                raise self.settled.error
            transaction.commit()
        except StepError as error:
            self.errors.update({each.text: error for each in items})
            return False
        self.remove(items)
        return True

    def in_use(self) -> dict[str, StepError]:
        """Before anything is touched: what endpoints still serve though their services have been reloaded, by its text.

        Where a file comes back in the place of an output, the service goes on with that one.
        """
        unreplaced = [each for each in self.items if each.leaves and not set(each.files) & set(self.given_back)]
        if not self.serving(unreplaced, 0):
            return {}
        # The configuration may be another one by now, and nobody has told the service.
        self.settled = settle(self.services, [], 0)
        if self.settled.error:
            return {each.text: self.settled.error for each in unreplaced}
        found = self.serving(unreplaced, self.request["prove_timeout"])
        by_name = {each.name: each for each in unreplaced}
        return {
            by_name[name].text: served_error([each for each in found if each.certificate == name])
            for name in dict.fromkeys(each.certificate for each in found)
        }

    def moved_away(self, items: Sequence[Retiring]) -> Transaction:
        """Everything that services see, gone or given back; it can still be undone.

        :raises StepError: as :meth:`Transaction.swap`; nothing is changed then.
        """
        transaction = Transaction(self.holdings.originals)
        try:
            for each in items:
                for path, ours in each.files.items():
                    if ours:
                        transaction.give_back(path)
                    else:
                        transaction.give_up(path)
                for path in each.links:
                    transaction.remove(path)
            transaction.swap()
        except OSError as error:
            transaction.rollback()
            raise from_os_error(error, "retiring") from error
        except BaseException:
            transaction.rollback()
            raise
        return transaction

    def still_served(self, items: Sequence[Retiring], seconds: float) -> StepError | None:
        """The error for endpoints that go on serving what is retired; None: none does."""
        found = self.serving(items, seconds)
        return served_error(found) if found else None

    def serving(self, items: Sequence[Retiring], seconds: float) -> list[EndpointReport]:
        """The endpoints that serve any generation of what is retired, after so many seconds at most."""
        # Those of one pool have the same pair under other names.
        kept = self.kept_fingerprints() | self.returning
        prints = {each.name: set(each.leaves) - kept for each in items}
        targets = [target for each in items if prints[each.name] for target in self.targets(each)]

        def ask(_left: float) -> list[EndpointReport]:
            self.proof = look_at(targets)
            return [each for each in self.proof if each.fingerprint in prints[each.certificate]]

        return ask_until(ask, lambda found: not found, seconds) if targets else []

    def targets(self, item: Retiring) -> list[ProofTarget]:
        """Where a certificate may be served: its services' endpoints, and those that the request names besides."""
        (expected, leaf), *_older = item.leaves.items()
        own = targets_of(self.request["services"], [item.name])
        further = [
            ProofTarget(each["host"], each["port"], each["server_name"], item.name, expected)
            for each in self.request["endpoints"]
        ]
        return [each._replace(expected=expected, leaf=leaf) for each in (*own, *further)]

    def kept_fingerprints(self) -> set[str]:
        """Those of live pairs that stay."""
        retired = {each.name for each in self.items if each.leaves}
        layouts = [Layout(self.holdings.directory, name) for name in self.holdings.certificates if name not in retired]
        numbers = [(layout, layout.current()) for layout in layouts]
        manifests = [layout.manifest(number) for layout, number in numbers if number is not None]
        return {each["fingerprint"] for each in manifests if each is not None}

    def remove(self, items: Sequence[Retiring]) -> None:
        """What no service can see any more: the keys, and last the records.

        :raises StepError: io, disk_full: something is still there; the next run goes on from here.
        """
        for each in items:
            self.holdings.forget(each)
            for path in each.trees:
                remove_all(path)
                if os.path.lexists(path):
                    raise StepError("io", f"{path} could not be removed", "see what is in it, then run again")
        if any(each.kind == POOL for each in items) and not set(self.there["pools"]) - {
            each.name for each in items if each.kind == POOL
        }:
            BootUnit(self.holdings.directory).remove()
        for path in (path for each in items for path in each.records):
            remove_if_there(path)

    def answer(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "there": self.there,
            "retired": [
                {
                    "kind": each.kind,
                    "name": each.name,
                    "removed": self.going[each.text],
                    "given_back": {path: kept for path, kept in self.given_back.items() if path in each.files},
                    "error": self.errors[each.text].as_answer() if each.text in self.errors else None,
                }
                for each in self.items
            ],
            "services": self.settled.states,
            "proof": [each.as_answer() for each in self.proof],
            "diff": self.diff,
            "error": None,
        }


def wanted(holdings: Holdings, request: dict[str, Any]) -> list[Retiring]:
    """What a request is about; of a host as a whole all that is there."""
    whole = bool(request["whole"])
    certificates = [*request["certificates"], *(holdings.certificates if whole else ())]
    bundles = {each["name"]: each["bundle"] for each in request["clients"]}
    pools = [*request["pools"], *(holdings.pools if whole else ())]
    found = [holdings.certificate(name) for name in dict.fromkeys(certificates)]
    found += [
        holdings.client(name, bundles.get(name)) for name in sorted({*bundles, *(holdings.clients if whole else ())})
    ]
    found += [holdings.bundle(path) for path in request["bundles"]]
    found += [holdings.pool(name) for name in dict.fromkeys(pools)]
    return [*found, holdings.rest(found)] if whole else found


def fingerprints_in(path: str) -> Iterable[str]:
    """The fingerprint of the certificate in a file, behind a link too; of one that has none, nothing."""
    with contextlib.suppress(OSError):
        mark = fingerprint(read(os.path.realpath(path)))
        if mark:
            yield mark


def served_error(found: Sequence[EndpointReport]) -> StepError:
    """The error for endpoints that serve what is retired."""
    names = ", ".join(f"'{name}'" for name in dict.fromkeys(each.certificate for each in found))
    places = "; ".join(dict.fromkeys(f"{each.endpoint} (SNI {each.server_name or 'none'})" for each in found))
    return StepError(
        "still_served",
        f"{names} is still served at {places}",
        "take it out of that server's configuration first; nothing was taken away",
    )


def diff_of(item: Retiring, given_back: dict[str, str]) -> Iterable[dict[str, str]]:
    """In Ansible's form: what goes, and what comes back."""
    for path in item.going():
        kept = given_back.get(path)
        after = f"(what was there first, kept as {kept})\n" if kept else ""
        yield {"before_header": path, "after_header": path, "before": text_of(path, item), "after": after}


def text_of(path: str, item: Retiring) -> str:
    """What lies at a path, for people: of bundles the content, of all else that it is ours."""
    link = link_target(path)
    if link is not None or item.kind != BUNDLE:
        return f"link to {link}\n" if link is not None else f"({item.text})\n"
    return shown(read_plain(path), None)
