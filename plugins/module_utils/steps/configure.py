# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step ``configure``: a service's files as one batch; checked, reloaded and proven once, or all put back."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.batch import (
    Change,
    WantedFile,
    compare,
    digests,
    kept_files,
    parse_wanted,
    swap,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest, read_if_there
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals
from ansible_collections.fleet.tls.plugins.module_utils.files.taken import TakenFiles
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import link_target
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.revocation_lists import lists_more
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, Layout
from ansible_collections.fleet.tls.plugins.module_utils.proof.key_kinds import refuse_one_kind_twice
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import EndpointReport, ProofTarget, look_at, prove
from ansible_collections.fleet.tls.plugins.module_utils.services import settle as services
from ansible_collections.fleet.tls.plugins.module_utils.services.clashes import refuse_clashes
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service, is_running, resolve
from ansible_collections.fleet.tls.plugins.module_utils.services.features import refuse_missing_features
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import (
    refuse_taken_ports,
    refuse_unreloadable,
)
from ansible_collections.fleet.tls.plugins.module_utils.services.upstreams import (
    Upstreams,
    left_over,
    no_certificate,
    resolved_files,
)
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import find_program, run
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import fingerprint

# Seconds that a service has to show that nothing needs to be done.
PATIENCE = 5.0


@dataclass(frozen=True)
class PresentState:
    """What there is before anything is changed.

    :param targets: with what they presented, see :class:`Target`.
    :param taken: whether the service has taken files like these before.
    :param originals: keeps what is not ours.
    """

    changes: Sequence[Change]
    targets: Sequence[ProofTarget]
    served: Sequence[EndpointReport]
    taken: bool
    originals: Originals

    @property
    def proven(self) -> bool:
        """Whether every target presents what it is to."""
        return all(target.expected == target.before for target in self.targets)


def configure_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md.

    :raises StepError: program_missing, feature_missing, site_clash, no_certificate, same_key_type, no_trust_store, upstream_refused,
        cannot_start, port_taken, not_permitted, disk_full, unknown_user, io. Nothing was changed then.
    """
    with nullcontext() if request["check"] else host_lock(request["directory"]):
        return configure(request)


def configure(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step, under the host's lock."""
    raw = request["services"][0]
    service, check = resolve(raw), bool(request["check"])
    complete = bool(request.get("complete", not check))
    files = resolved_files(request["files"], request["directory"], check=not complete)
    wanted = [parse_wanted(each) for each in [*files, *left_over(request.get("owned"), request["files"])]]
    record, originals = TakenFiles(request["directory"], service.name), Originals(request["directory"])
    missing = missing_program(service)
    if missing:
        if request["missing"] != "report":
            raise StepError(
                "program_missing",
                f"service '{service.name}': there is no program '{missing}' on the host",
                "install it first; nothing was changed",
            )
        refuse_unmade(request)
        changes = compare(wanted, originals)
        return answer(changes if check else [], changed=check and bool(changes), missing=True)
    refuse_missing_features(service, request.get("requires") or ())
    try:
        refuse_clashes(service, request.get("claims"))
        held = held_back(request["files"])
        if held:
            return answer([], held=held)
        refuse_unmade(request)
        targets = read_targets(raw.get("endpoints") or (), request["directory"], skip_missing=not complete)
        refuse_one_kind_twice(targets)
        upstreams = Upstreams(request.get("upstreams") or (), wanted)
    except StepError as refusal:
        return keep_up(request, service, wanted, record, refusal)
    found = look(wanted, targets, record, originals)
    # A service that serves all its targets runs: no need to ask the init system.
    running = bool(targets and found.proven) or is_running(service)
    at_rest = not found.changes and found.taken and found.proven and (running or not request["started"])
    if at_rest and not upstreams.blocked(PATIENCE):
        validated = service.validate is not None
        return answer(found.changes, served=found.served, validated=validated, notes=upstreams.notes)
    if running:
        refuse_unreloadable([service])
    if request["started"] and not running and service.start is None:
        raise StepError(
            "cannot_start",
            f"service '{service.name}' does not run, and nobody said how it is started",
            "give the service a start command, or start it; nothing was changed",
        )
    refuse_taken_ports(service, found.targets)
    if check:
        return answer(found.changes, changed=True, served=found.served, notes=upstreams.notes)
    outcome = change(
        service, found, upstreams, running=running, started=request["started"], timeout=request["prove_timeout"]
    )
    if outcome.error is None:
        record.record(digests(wanted))
    return answer(
        found.changes,
        changed=not outcome.rolled_back,
        served=outcome.served,
        validated=outcome.error is None and service.validate is not None,
        outcome=outcome,
        notes=upstreams.notes,
    )


def keep_up(
    request: dict[str, Any], service: Service, wanted: Sequence[WantedFile], record: TakenFiles, refusal: StepError
) -> tuple[bool, dict[str, Any]]:
    """What waits for no refusal: revocation lists run out, and a client that was revoked has to be turned away today.

    Only files that are there already: the configuration of before names them.

    :raises StepError: the refusal, where there is nothing to do; else it is in the answer, or what went wrong.
    """
    originals = Originals(request["directory"])
    changes = compare((each for each in wanted if each.upkeep and os.path.exists(each.path)), originals)
    if not changes or held_back(request["files"]) or not is_running(service) or service.unreloadable:
        raise refusal
    if request["check"]:
        return answer(changes, changed=True, outcome=services.Settled(error=refusal))
    present = PresentState(changes, (), (), taken=True, originals=originals)
    outcome = change(service, present, Upstreams((), ()), running=True, started=False, timeout=request["prove_timeout"])
    if outcome.error is None:
        record.record(digests([each.wanted for each in changes]))
        also = "only what clients are verified by is as it should be now"
        remedy = re.sub(r"[.;] nothing was changed$", "", refusal.remedy, flags=re.IGNORECASE)
        outcome.error = StepError(refusal.code, f"{refusal.message}; {also}", remedy)
    return answer(changes, changed=not outcome.rolled_back, outcome=outcome)


def answer(
    changes: Sequence[Change],
    *,
    changed: bool = False,
    missing: bool = False,
    validated: bool = False,
    served: Sequence[EndpointReport] = (),
    outcome: services.Settled | None = None,
    held: Sequence[dict[str, str]] = (),
    notes: Sequence[str] = (),
) -> tuple[bool, dict[str, Any]]:
    """The step's result, JSON-ready."""
    outcome = outcome or services.Settled()
    return changed, {
        "changed_paths": [each.wanted.path for each in changes],
        "diff": [each.as_diff() for each in changes],
        "kept_files": {} if outcome.rolled_back else kept_files(changes),
        "held": list(held),
        "notes": list(notes),
        "missing": missing,
        "validated": validated,
        "services": outcome.states,
        "proof": [each.as_answer() for each in served],
        "rolled_back": outcome.rolled_back,
        "error": outcome.error.as_answer() if outcome.error else None,
    }


def held_back(files: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Revocation lists that hold what those that are to take their place do not: the controller may not know of that.

    Nothing is changed then. With their digests in ``over`` the controller says that it has seen them.
    """
    found = []
    for each in files:
        if "over" not in each or link_target(each["path"]) is not None:
            continue
        present, wanted = read_if_there(each["path"]), each["content"].encode()
        if present and present != wanted and digest(present) not in each["over"] and lists_more(present, wanted):
            found.append({"path": each["path"], "content": present.decode(errors="replace"), "digest": digest(present)})
    return found


def missing_program(service: Service) -> str | None:
    """The program the service's own check needs, when the host does not have it."""
    command = service.validate or service.start or service.reload
    return command[0] if command and find_program(command[0]) is None else None


def refuse_unmade(request: dict[str, Any]) -> None:
    """In check mode too: what the host does not have, and the run would not have made by now.

    :raises StepError: no_certificate.
    """
    made = request.get("made")
    if made is None:
        return
    endpoints = request["services"][0].get("endpoints") or ()
    names = [each["certificate"] for each in endpoints] + [
        each["pair"] for each in request["files"] if each.get("pair")
    ]
    for name in names:
        if name not in made and live_fingerprint(request["directory"], name) is None:
            raise no_certificate(name, request["directory"])


def read_targets(endpoints: Sequence[dict[str, Any]], directory: str, *, skip_missing: bool) -> list[ProofTarget]:
    """The endpoints and what they are to present: the live leaf of their certificate.

    :param skip_missing: in check mode a certificate may not be there yet.
    :raises StepError: no_certificate.
    """
    targets = []
    for each in endpoints:
        expected = live_fingerprint(directory, each["certificate"])
        if expected is not None:
            target = ProofTarget(each["host"], each["port"], each["server_name"], each["certificate"], expected)
            leaf = os.path.join(Layout(directory, each["certificate"]).live, CERT)
            targets.append(target._replace(starttls=each.get("starttls"), leaf=leaf))
        elif not skip_missing:
            raise no_certificate(each["certificate"], directory)
    return targets


def live_fingerprint(directory: str, name: str) -> str | None:
    """SHA-256 (hex) of the live leaf (DER); None: there is no such certificate."""
    pem = read_if_there(os.path.join(Layout(directory, name).live, CERT))
    return None if pem is None else fingerprint(pem)


def look(
    wanted: Sequence[WantedFile], targets: Sequence[ProofTarget], record: TakenFiles, originals: Originals
) -> PresentState:
    """Compare files and ask the targets what they present now."""
    changes, taken = compare(wanted, originals), record.covers(digests(wanted))
    # Where nothing else is to be done a look may last: right after a reload the old workers still answer, and a busy host that
    # answers late is no reason to reload.
    served = look_at(targets) if changes or not taken else prove(targets, PATIENCE)
    asked = [target._replace(before=seen.fingerprint) for target, seen in zip(targets, served)]
    return PresentState(changes, asked, served, taken, originals)


def change(
    service: Service, found: PresentState, upstreams: Upstreams, *, running: bool, started: bool, timeout: float
) -> services.Settled:
    """Write the files and let the service take them.

    A service that does not run is still made to check its files: it would not come up with bad ones. Where it is started and then
    does not serve what it should, the files stay: before them nothing worked that could be put back.

    :raises StepError: the files cannot be written, or what has to be there before a first start cannot be made; nothing was changed then.
    """
    if service.prepare and not running:
        run(service.prepare, "start")
    transaction = swap(found.changes, found.originals)
    rollback = transaction.rollback if found.changes else None
    if running:
        outcome = services.settle([service], found.targets, timeout, rollback, further=upstreams.blocked_anew)
    elif started:
        starting = replace(service, check=None, reload=service.start, control=None)
        outcome = services.settle(
            [starting], found.targets, timeout, rollback, roll_back_unproven=False, further=upstreams.blocked_anew
        )
        rename_state(outcome, service, "reloaded", "started")
    else:
        stopped = replace(service, check=None, reload=None, control=None)
        outcome = services.settle([stopped], [], timeout, rollback)
        rename_state(outcome, service, "unchanged", "not_running")
    if not outcome.rolled_back:
        transaction.commit()
    if outcome.error:
        kept = "all files are as they were before" if outcome.rolled_back else "the files stay as they are now"
        outcome.error.message = f"{outcome.error.message}; {kept}"
    return outcome


def rename_state(outcome: services.Settled, service: Service, old: str, new: str) -> None:
    """``settle`` knows a reload only; say what it stood for."""
    state = outcome.states[service.name]
    if state["state"] == old:
        state["state"] = new
