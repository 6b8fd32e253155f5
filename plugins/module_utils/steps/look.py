# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``look``: what is there, compared with what was installed; a key and a CSR at once where a new pair is needed.

A host with nothing to do starts no process: digests are compared with the manifest, and only what differs is looked into.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.files.places import refuse_unsafe
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import group_id, user_id
from ansible_collections.fleet.tls.plugins.module_utils.pair.drift import drift
from ansible_collections.fleet.tls.plugins.module_utils.pair.integrity import pair_problems, problem
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, FULLCHAIN, MANIFEST, PRIVKEY, Layout
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import BRIEFLY, ProofTarget, look_at, wait_for
from ansible_collections.fleet.tls.plugins.module_utils.renewal import renewal_moment
from ansible_collections.fleet.tls.plugins.module_utils.steps.facts import host_facts


def look_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md. A pending key is no change of what is installed, so ``changed`` is False."""
    entries = request["certificates"]
    found = {
        entry["name"]: look_at_certificate(Layout(request["directory"], entry["name"]), entry) for entry in entries
    }
    see_served(request, found)
    prepare(request, found)
    return False, {"clock": time.time(), "host": host_facts(), "certificates": found}


def look_at_certificate(layout: Layout, entry: dict[str, Any]) -> dict[str, Any]:
    """One certificate; what cannot be looked at becomes its ``error``."""
    answer: dict[str, Any] = {
        "generation": None, "manifest": None, "fullchain": None,
        "problems": [], "drift": [], "kept_files": {}, "pending": None, "served": [], "adoptable": None, "error": None,
    }  # fmt: skip
    try:
        refuse_unsafe(layout.live, *(output["path"] for output in entry["outputs"]))
        look_at_generation(layout, entry, answer)
        refuse_unmakeable(entry["outputs"])
        refuse_unknown_algorithm(entry["key"]["algorithm"])
    except OSError as error:
        answer["error"] = from_os_error(error, f"looking at {layout.live}").as_answer()
    except StepError as error:
        answer["error"] = error.as_answer()
    return answer


def look_at_generation(layout: Layout, entry: dict[str, Any], answer: dict[str, Any]) -> None:
    """Fill in what there is of the live one."""
    number = layout.current()
    manifest = layout.manifest(number) if number is not None else None
    answer["kept_files"] = foreign_outputs(layout, entry, manifest)
    if number is None:
        if os.path.lexists(layout.live):
            answer["problems"].append(problem("damaged", f"{layout.live} is not a link of ours"))
        elif entry.get("adopt"):
            from ansible_collections.fleet.tls.plugins.module_utils.pair.adopting import adoptable

            answer["adoptable"] = adoptable(entry["adopt"])
        return
    answer["generation"] = number
    folder = layout.generation(number)
    if manifest is None:
        answer["problems"].append(problem("damaged", f"{os.path.join(folder, MANIFEST)} is missing or damaged"))
        return
    answer["manifest"] = manifest
    answer["problems"] += pair_problems(folder, manifest)
    if not any(each["code"] == "damaged" for each in answer["problems"]):
        answer["fullchain"] = read(os.path.join(folder, FULLCHAIN)).decode()
    answer["drift"] = drift(layout, number, entry, manifest)


def refuse_unmakeable(outputs: Iterable[dict[str, Any]]) -> None:
    """Before anything is made or issued: a form that takes a program which is not here.

    :raises StepError: keytool_missing.
    """
    if any(each["format"] == "jks" for each in outputs):
        from ansible_collections.fleet.tls.plugins.module_utils.keyfiles import keytool

        keytool.program()


def refuse_unknown_algorithm(algorithm: str) -> None:
    """Before anything is made or issued: a kind of key that the host's servers could not use.

    :raises StepError: openssl_too_old.
    """
    if algorithm.startswith("ml-dsa-"):
        from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
        from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import OPENSSL_VERSION_INFO, version_numbers

        openssl.refuse_too_old(algorithm, version_numbers(OPENSSL_VERSION_INFO))


def foreign_outputs(layout: Layout, entry: dict[str, Any], manifest: dict[str, Any] | None) -> dict[str, str]:
    """Paths of outputs where something lies that is not ours → where it is kept before an output takes its place."""
    known = (manifest or {}).get("outputs", {})
    new = [
        output["path"] for output in entry["outputs"] if output["path"] not in known and os.path.lexists(output["path"])
    ]
    if not new:
        return {}
    from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals

    return Originals(layout.directory).foreign(new)


def see_served(request: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    """What the endpoints of installed certificates present, all of them at once."""
    targets = []
    for target in targets_of(request["services"], found):
        manifest = found[target.certificate]["manifest"]
        if manifest and not found[target.certificate]["error"]:
            leaf = os.path.join(Layout(request["directory"], target.certificate).live, CERT)
            targets.append(target._replace(expected=str(manifest.get("fingerprint")), leaf=leaf))
    for target, served in zip(targets, look_at(targets)):
        before = older(Layout(request["directory"], served.certificate)) if served.ours is None else set()
        if served.fingerprint in before:
            # Right after a reload the old workers still answer for a moment: only what stays is worth telling.
            served = wait_for(target, BRIEFLY)
        if served.fingerprint in before:
            served = served._replace(ours="older")
        found[served.certificate]["served"].append(served.as_answer())


def targets_of(services: Iterable[dict[str, Any]], names: Iterable[str]) -> list[ProofTarget]:
    """The endpoints of a request's services, as far as they are for certificates in ``names``; nothing expected yet."""
    return [
        ProofTarget(
            host=each["host"],
            port=each["port"],
            server_name=each["server_name"],
            certificate=each["certificate"],
            expected="",
            explicit=each["explicit"],
            starttls=each.get("starttls"),
            service=service["name"],
            proxy_protocol=each.get("proxy_protocol") or 0,
        )
        for service in services
        for each in service["endpoints"]
        if each["certificate"] in names
    ]


def older(layout: Layout) -> set[str]:
    """Fingerprints of the generations that are not live."""
    live = layout.current()
    manifests = (layout.manifest(number) for number in layout.numbers() if number != live)
    return {str(manifest.get("fingerprint")) for manifest in manifests if manifest}


def prepare(request: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    """Make keys and CSRs for what the host can tell to be due, or was told is; in check mode only say what is pending."""
    chosen = [entry for entry in request["certificates"] if is_chosen(request, entry, found[entry["name"]])]
    if not chosen:
        return
    # Late, as is whatever a host with nothing to do can go without: it would be compiled at every look.
    from ansible_collections.fleet.tls.plugins.module_utils.pair.pending import pending_request

    writes = request["prepare"] != "never"
    if not writes:
        for entry in chosen:
            found[entry["name"]]["pending"] = public_part(pending_request(Layout(request["directory"], entry["name"])))
        return
    try:
        with host_lock(request["directory"]):
            for entry in chosen:
                layout, answer = Layout(request["directory"], entry["name"]), found[entry["name"]]
                # Another run may have installed it while this one waited for the lock.
                answer.update({**look_at_certificate(layout, entry), "served": answer["served"]})
                if is_chosen(request, entry, answer):
                    prepare_certificate(layout, entry, answer)
    except StepError as error:
        # It concerns these only: what is not due needs no lock.
        for entry in chosen:
            found[entry["name"]]["error"] = error.as_answer()


def prepare_certificate(layout: Layout, entry: dict[str, Any], answer: dict[str, Any]) -> None:
    """A key and a CSR for one certificate, or its ``error``."""
    from ansible_collections.fleet.tls.plugins.module_utils.pair.pending import ensure_pending

    manifest = answer["manifest"] or {}
    sound = answer["generation"] is not None and not any(
        each["code"] in ("key_missing", "key_mismatch") for each in answer["problems"]
    )
    live_key = os.path.join(layout.generation(answer["generation"]), PRIVKEY) if sound else None
    try:
        refuse_unknown_owners(entry)
        answer["pending"] = public_part(ensure_pending(layout, entry, live_key, manifest.get("request_id")))
    except (OSError, StepError) as error:
        answer["error"] = as_step_error(error, layout).as_answer()


def refuse_unknown_owners(entry: dict[str, Any]) -> None:
    """Before anything is made or issued: the certificate could not be installed.

    :raises StepError: unknown_user.
    """
    for each in [entry, *entry["outputs"]]:
        user_id(each["owner"])
        group_id(each["group"])


def as_step_error(error: Exception, layout: Layout) -> StepError:
    """Either kind of error as ours."""
    return error if isinstance(error, StepError) else from_os_error(error, f"preparing {layout.pending}")  # type: ignore[arg-type]


def is_chosen(request: dict[str, Any], entry: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether a key and a CSR are to be made here."""
    if answer["error"] or entry["key"]["location"] != "host":
        return False
    if isinstance(request["prepare"], list):
        return entry["name"] in request["prepare"]
    if answer["adoptable"]:
        # The controller says first whether it does.
        return False
    manifest = answer["manifest"]
    if manifest is None or answer["problems"] or entry["force"]:
        return True
    if manifest.get("request_digest") != entry["request_digest"]:
        return True
    try:
        moment = renewal_moment(manifest["not_before"], manifest["not_after"], entry["renew_before"])
    except (KeyError, TypeError):
        return True
    return moment <= request["now"]


def public_part(pending: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the controller gets to see of a pending request."""
    return {"request_id": pending["request_id"], "csr": pending["csr"]} if pending else None
