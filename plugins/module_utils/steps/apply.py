# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``apply``: stage → swap → validate → reload → prove → keep, or roll back. See docs/inside.md."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.content import write_json
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals
from ansible_collections.fleet.tls.plugins.module_utils.files.places import remove_tree
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, MANIFEST, Layout
from ansible_collections.fleet.tls.plugins.module_utils.pair.pending import drop_pending, is_leftover, pending_request
from ansible_collections.fleet.tls.plugins.module_utils.pair.soundness import sound_links
from ansible_collections.fleet.tls.plugins.module_utils.pair.staging import Staged, stage
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import EndpointReport, ProofTarget, look_at
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service, resolve
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import (
    check_readers,
    refuse_taken_ports,
    refuse_unreloadable,
)
from ansible_collections.fleet.tls.plugins.module_utils.services.settle import (
    Settled,
    settle,
    validate_early,
    validate_running,
)
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import older, targets_of

# What tells that an issuer's answer is not what the key's request asked for: asked again with that request, many answer the same.
WRONG_ANSWERS = ("bad_certificate", "chain_broken", "pair_mismatch")


@dataclass
class Group:
    """Certificates and services that hang together: when one service refuses, all its certificates go back."""

    staged: list[Staged] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)


def apply_step(request: dict[str, Any], secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step; ``changed`` tells whether any certificate's files or services were touched with lasting effect."""
    if request.get("check"):
        return False, {"certificates": foretold(request), "services": {}}
    outcomes: dict[str, dict[str, Any]] = {}
    states: dict[str, dict[str, Any]] = {}
    with host_lock(request["directory"]):
        Originals(request["directory"]).tidy()
        staged = []
        claimed = frozenset(output["path"] for entry in request["certificates"] for output in entry["outputs"])
        awaited = frozenset(request["claimed"]) - claimed
        services = {service["name"]: resolve(service) for service in request["services"]}
        installs = [entry for entry in request["certificates"] if entry["action"] == "install"]
        sound = sound_links([pem.encode() for pem in entry["chain"]] for entry in installs)
        for entry in request["certificates"]:
            try:
                each = stage(request["directory"], entry, secrets.get(entry["name"]), claimed, awaited, sound)
                staged.append(checked(each, services))
            except StepError as error:
                layout = Layout(request["directory"], entry["name"])
                give_up_request(layout, entry, error)
                outcomes[entry["name"]] = outcome(layout.current(), error=error)
            except OSError as error:
                found = from_os_error(error, f"staging '{entry['name']}'")
                outcomes[entry["name"]] = outcome(Layout(request["directory"], entry["name"]).current(), error=found)
        for group in groups(staged, services):
            outcomes.update(apply_group(group, request, states))
    changed = any(each["changed"] for each in outcomes.values())
    return changed, {"certificates": outcomes, "services": states}


def foretold(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """In check mode: what would be refused before anything is touched, as far as that hangs on the services alone."""
    services = {service["name"]: resolve(service) for service in request["services"]}
    outcomes = {}
    for entry in request["certificates"]:
        refusal = None
        try:
            refuse_unreloadable(services[name] for name in entry["services"])
        except StepError as error:
            refusal = error
        outcomes[entry["name"]] = outcome(Layout(request["directory"], entry["name"]).current(), error=refusal)
    return outcomes


def outcome(generation: int | None, **known: Any) -> dict[str, Any]:
    """One certificate's answer."""
    error = known.pop("error", None)
    answer: dict[str, Any] = {
        "generation": generation, "changed": False, "installed": False, "rolled_back": False, "unproven": False,
        "repaired": [], "proof": [], "error": error.as_answer() if error else None,
    }  # fmt: skip
    return {**answer, **known}


def give_up_request(layout: Layout, entry: dict[str, Any], error: StepError) -> None:
    """Drop the request that got a wrong answer, so that the next run makes another one and is not handed the same again."""
    pending = pending_request(layout)
    if error.code in WRONG_ANSWERS and pending is not None and pending["request_id"] == entry["request_id"]:
        drop_pending(layout)


def checked(each: Staged, services: dict[str, Service]) -> Staged:
    """The same, when those who are to read its key can.

    :raises StepError: key_unreadable, cannot_reload; what was staged is gone then.
    """
    try:
        wanted = [services[name] for name in each.entry["services"]]
        refuse_unreloadable(wanted)
        check_readers(each.folder, each.entry, wanted)
    except BaseException:
        each.discard()
        raise
    return each


def groups(staged: Sequence[Staged], services: dict[str, Service]) -> list[Group]:
    """Certificates joined by the services they share."""
    found: list[Group] = []
    for each in staged:
        wanted = [services[name] for name in each.entry["services"]]
        joined = Group([each], wanted)
        for group in [group for group in found if any(service in wanted for service in group.services)]:
            found.remove(group)
            joined.staged = group.staged + joined.staged
            joined.services = group.services + [service for service in joined.services if service not in group.services]
        found.append(joined)
    return found


def apply_group(group: Group, request: dict[str, Any], states: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Swap and settle certificates that hang together; the services' states go into ``states``."""
    targets = group_targets(group, request)
    # A first pair has nothing before it: it stays, whatever the services say, and the next run goes on from there.
    restorable = [each for each in group.staged if each.can_go_back]
    settled = Settled()
    try:
        for service in group.services:
            refuse_taken_ports(service, strange_targets(group, targets, service))
        if any(each.transaction.staged for each in group.staged):
            validate_early(group.services)
        for each in group.staged:
            each.transaction.swap()
        if group.staged and all(each.is_the_same for each in group.staged):
            validate_running(group.services)
        if needs_services(group, targets):
            was_live = old_fingerprints(group)
            settled = settle(
                group.services,
                targets,
                request["prove_timeout"],
                rollback=(lambda: go_back(restorable)) if restorable else None,
                # Going back helps only where the old pair was being served.
                roll_back_unproven=any(target.before in was_live.get(target.certificate, ()) for target in targets),
            )
            states.update(settled.states)
        else:
            settled.served = look_at(targets)
    except StepError as error:
        error.message = "; ".join([error.message, *undo(group.staged)])
        return {each.name: outcome(each.previous, error=error) for each in group.staged}
    except BaseException:
        # Whatever it is, nothing unchecked may stay live.
        undo(group.staged)
        raise
    return {
        each.name: conclude(each, settled, targets, request, gone_back=settled.rolled_back and each in restorable)
        for each in group.staged
    }


def undo(staged: Sequence[Staged]) -> list[str]:
    """Everything back as it was; the pending keys stay, for the next run. What could not be put back, for people."""
    return [text for each in reversed(staged) for text in each.discard()]


def go_back(staged: Sequence[Staged]) -> list[str]:
    """The way back from a state that the services did not take. What could not be put back, for people."""
    return [text for each in reversed(staged) for text in each.go_back()]


def group_targets(group: Group, request: dict[str, Any]) -> list[ProofTarget]:
    """The group's endpoints: what they present now, what they are to present, and which of them have to."""
    by_name = {each.name: each for each in group.staged}
    # Through the live link, which leads to whichever pair is to be served: the old one, the new one, and the old one again.
    bare = [
        target._replace(leaf=os.path.join(by_name[target.certificate].layout.live, CERT))
        for target in targets_of(request["services"], by_name)
    ]
    targets = []
    for target, served in zip(bare, look_at(bare)):
        each = by_name[target.certificate]
        # An endpoint that only came with a preset may be somebody else's: it has to serve us when it did so before. The
        # same goes for all of them while a later task is still to configure the service.
        required = served.fingerprint in known_fingerprints(each) or (target.explicit and not request["defer_proof"])
        targets.append(
            target._replace(expected=str(each.manifest["fingerprint"]), required=required, before=served.fingerprint)
        )
    return targets


def strange_targets(group: Group, targets: Sequence[ProofTarget], service: Service) -> list[ProofTarget]:
    """The targets of a service that present nothing of ours, so that somebody else may be there."""
    known = {each.name: known_fingerprints(each) for each in group.staged}
    return [each for each in targets if each.service == service.name and each.before not in known[each.certificate]]


def known_fingerprints(each: Staged) -> set[str]:
    """The fingerprints of all generations, less that of a pair just staged."""
    found = older(each.layout)
    live = each.layout.manifest(each.previous) if each.previous is not None else None
    if live:
        found.add(str(live.get("fingerprint")))
    return found - ({str(each.manifest["fingerprint"])} if each.installs else set())


def old_fingerprints(group: Group) -> dict[str, set[str]]:
    """What each new pair takes the place of."""
    changing = [each for each in group.staged if each.installs or each.fallback is not None]
    return {each.name: known_fingerprints(each) - {str(each.manifest["fingerprint"])} for each in changing}


def needs_services(group: Group, targets: Sequence[ProofTarget]) -> bool:
    """Whether there is anything for the services to take: not after a mere change of mode."""
    moved = any(
        not each.is_the_same and (each.installs or each.transaction.done or not each.manifest.get("settled"))
        for each in group.staged
    )
    return moved or any(target.required and target.before != target.expected for target in targets)


def conclude(
    each: Staged, settled: Settled, targets: Sequence[ProofTarget], request: dict[str, Any], *, gone_back: bool
) -> dict[str, Any]:
    """Keep or give up one certificate, and say what became of it."""
    mine = [(target, served) for target, served in zip(targets, settled.served) if target.certificate == each.name]
    proof = [as_proof(served, target) for target, served in mine]
    unproven = any(target.explicit and served.fingerprint != target.expected for target, served in mine)
    error = settled.error
    if gone_back:
        back_at = each.previous if each.fallback is None else each.fallback
        return outcome(back_at, rolled_back=True, proof=proof, unproven=unproven, error=error)
    reloaded = not settled.rolled_back and any(state["state"] == "reloaded" for state in settled.states.values())
    changed = each.installs or bool(each.repaired) or bool(each.transaction.done) or reloaded
    if error is None and not unproven and not each.manifest.get("settled"):
        changed = True
        error = write_settled(each, request["now"])
    each.transaction.commit()
    tidy(each, request["keep"])
    return outcome(
        each.number,
        changed=changed,
        installed=each.installs,
        repaired=each.repaired,
        proof=proof,
        unproven=unproven or settled.error is not None,
        error=error,
    )


def write_settled(each: Staged, now: int) -> StepError | None:
    """Record that the services have taken it; without that the next run lets them take it again."""
    path = os.path.join(each.folder, MANIFEST)
    try:
        write_json(path, {**each.manifest, "settled": now})
    except OSError as error:
        return from_os_error(error, f"writing {path}")
    except StepError as error:
        return error
    return None


def tidy(each: Staged, keep: int) -> None:
    """Remove what an installed pair no longer needs: its pending key, and old generations."""
    if is_leftover(pending_request(each.layout), each.manifest):
        drop_pending(each.layout)
    if each.installs:
        each.layout.prune(keep)
    else:
        # What a killed staging left.
        for number in each.layout.numbers():
            if each.layout.manifest(number) is None and number != each.number:
                remove_tree(each.layout.generation(number))


def as_proof(served: EndpointReport, target: ProofTarget) -> dict[str, Any]:
    """A proof as it stands in the answer."""
    return served._replace(ours="live" if served.fingerprint == target.expected else None).as_answer()
