# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.service_config``: a service's configuration files as one batch, checked, reloaded and proven once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest
from ansible_collections.fleet.tls.plugins.module_utils.services.features import FEATURES
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory, parse_mode, parse_path
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import printable
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.publication import published_files
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import refuse_twice
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import (
    ProofEndpoint,
    parse_bare_services,
    parse_presets,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    CLOCKS_OPTION,
    DIRECTORY_OPTION,
    PRESETS_OPTION,
    PROVE_TIMEOUT_OPTION,
    TlsAction,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.run_notes import note_lists
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.templates import render_template
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.client_trust import ClientTrust, parse_held
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.server_trust import ServerTrust, TrustOptions
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.upstream_trust import FOLDER
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import SERVERS

SOURCES = ("template", "content", "link", "client")
CLIENT_FILES = ("bundle", "crls")

PRESENT = "present"


class ActionModule(TlsAction):
    """Render here, write and prove there."""

    STEPS = ("configure",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **DIRECTORY_OPTION,
        **PRESETS_OPTION,
        **PROVE_TIMEOUT_OPTION,
        **CLOCKS_OPTION,
        "files": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "mutually_exclusive": [SOURCES],
            "options": {
                "path": {"type": "str", "required": True},
                "template": {"type": "str"},
                "content": {"type": "str"},
                "link": {"type": "str"},
                "client": {"type": "str", "choices": list(CLIENT_FILES)},
                "block": {"type": "bool", "default": False},
                "vars": {"type": "dict", "default": {}},
                "owner": {"type": "str"},
                "group": {"type": "str"},
                "mode": {"type": "raw", "default": "0644"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            },
        },
        "client_trust": {
            "type": "dict",
            "options": {
                # Raw mappings, as in STORE_OPTIONS.
                "store": {"type": "dict"},
                "issuers": {"type": "dict", "default": {}},
                "from_issuers": {"type": "list", "elements": "str"},
                "anchors": {"type": "raw", "default": {}},
                "crls": {"type": "list", "elements": "str", "default": []},
                "revocation": {"type": "bool", "default": True},
            },
        },
        "upstreams": {
            "type": "dict",
            "options": {
                "server": {"type": "str", "required": True, "choices": list(SERVERS)},
                "sites": {"type": "list", "elements": "dict", "required": True},
                "store": {"type": "dict"},
                "issuers": {"type": "dict", "default": {}},
                "from_issuers": {"type": "list", "elements": "str"},
                "anchors": {"type": "raw", "default": {}},
                "revocation": {"type": "bool", "default": True},
            },
        },
        "published": {
            "type": "dict",
            "options": {
                "store": {"type": "dict"},
                "issuers": {"type": "dict", "default": {}},
                "from_issuers": {"type": "list", "elements": "str", "default": []},
                "directory": {"type": "str", "required": True},
            },
        },
        "service": {"type": "raw", "required": True},
        "started": {"type": "bool", "default": False},
        "missing": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
        # As tls_certificates has them; checked where they are made.
        "certificates": {"type": "list", "elements": "dict"},
        # As the filter site_claims makes them.
        "claims": {"type": "raw"},
        "requires": {"type": "list", "elements": "str", "choices": list(FEATURES), "default": []},
        "endpoints": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "host": {"type": "str", "default": "127.0.0.1"},
                "port": {"type": "int", "required": True},
                "server_name": {"type": "str"},
                "certificate": {"type": "str", "required": True},
            },
        },
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        (service,) = parse_bare_services([options["service"]], parse_presets(options["service_presets"]))
        endpoints = tuple(ProofEndpoint(**each, explicit=True) for each in options["endpoints"])
        wish = trust_options(options)
        if wish.dated:
            # Where a host says so of itself only, its own look has told it.
            self.refuse_wrong_clock(ignore=options["ignore_clocks"])
        request = {
            "directory": parse_directory(options["directory"], "directory"),
            "services": [dataclasses.replace(service, endpoints=endpoints).as_request()],
            "started": options["started"],
            "missing": options["missing"],
            "requires": options["requires"],
            "claims": options["claims"] or None,
            "made": made_names(options["certificates"]),
            "prove_timeout": parse_timeout(options["prove_timeout"], "prove_timeout"),
            "check": bool(self._task.check_mode),
            # In check mode a certificate may be one that the run would have issued by now.
            "complete": self.is_asked or not self._task.check_mode,
        }
        published, unpublished = self.published(options["published"])
        request["published"] = published
        # Nothing is signed before the host has shown whether its lists have what the store's lack.
        trust, held = wish.trust(self.now(), renew=False), {}
        if trust.due and not self._task.check_mode:
            with contextlib.suppress(HostError):
                # What it refuses now, it refuses again below: that must not keep a list from being signed.
                held = held_lists(self.configure(options, variables, {**request, "check": True}, trust, {}))
            trust = wish.trust(self.now(), parse_held(held.values()), renew=True)
        answer = self.configure(options, variables, request, trust, held)
        held = held_lists(answer)
        if held:
            seen = parse_held(held.values())
            if self.is_asked:
                note_lists(wish.signed_by_ours(seen, self.now()))
            trust = wish.trust(self.now(), seen, renew=not self._task.check_mode)
            answer = self.configure(options, variables, request, trust, held)
        if held_lists(answer):
            raise HostError("its revocation lists changed while this task ran", remedy="run again; nothing was changed")
        told = ("changed", "changed_paths", "kept_files", "missing", "validated", "services", "proof")
        result = {key: answer[key] for key in told}
        warnings = [text for each in trust.all for text in each.warnings] + notes_of(answer)
        if warnings:
            result["warnings"] = list(dict.fromkeys(warnings))
        # In check mode: a real run would sign CRLs anew first, so the files would change.
        result["changed"] = result["changed"] or trust.due or unpublished
        if self._task.diff:
            result["diff"] = answer["diff"]
        return result

    def published(self, raw: Mapping[str, Any] | None) -> tuple[list[dict[str, Any]], bool]:
        """Files that clients fetch of issuers, and whether a run would have others, as their lists are due."""
        if raw is None:
            return [], False
        issuers = load_issuers(raw["issuers"], load_store(raw.get("store")))
        directory = parse_directory(raw["directory"], "published: directory")
        renew = not self._task.check_mode
        return published_files(issuers, raw["from_issuers"], directory, self.now(), renew=renew)

    def configure(
        self,
        options: dict[str, Any],
        variables: dict[str, Any],
        request: dict[str, Any],
        trust: ServerTrust,
        held: dict[str, str],
    ) -> dict[str, Any]:
        """One round trip.

        :param held: digest → content of files of revocation lists that the host would not give up unseen.
        """
        upstreams = trust.upstreams
        known = {"upstreams_with_crls": list(upstreams.with_crls) if upstreams else []}
        files = [self.file_request(each, {**variables, **known}, trust.clients) for each in options["files"]]
        files += [dict(each) for each in request["published"]]
        if upstreams:
            files += [dict(each) for each in upstreams.files]
            # Of this server's own: what of it is wanted no more goes, a key above all.
            request = {**request, "upstreams": list(upstreams.upstreams), "owned": trust_options(options).folder}
        for each in files:
            if "over" in each:
                each["over"] = sorted(held)
        refuse_twice((each["path"] for each in files), "files: two entries have the path")
        request = {name: value for name, value in request.items() if name != "published"}
        return self.step("configure", {**request, "files": files}, variables)

    def file_request(self, raw: dict[str, Any], variables: dict[str, Any], trust: ClientTrust | None) -> dict[str, Any]:
        """One of ``files`` in the form the host gets.

        :raises SpecError: a relative path, what is no mode, a present file without a source, a template that is not there.
        """
        path = parse_path(raw["path"], "files: path")
        absent = {"path": path, "state": "absent", "block": raw["block"]}
        if raw["state"] == "absent":
            return absent
        content = raw["content"]
        if raw["client"] is not None:
            if trust is None:
                raise SpecError(f"files: {path} needs client_trust", remedy="say whose clients are to be trusted")
            content = getattr(trust, raw["client"])
            if not content:
                return absent
        if raw["link"] is not None:
            return {"path": path, "link": raw["link"]}
        if raw["template"] is not None:
            # Servers keep sessions by names of ours: with another trust there are to be other names.
            extra = {"client_trust_digest": digest(f"{trust.bundle}{trust.crls}".encode()) if trust else ""}
            content = render_template(self, raw["template"], variables, {**extra, **raw["vars"]})
        if content is None:
            raise SpecError(f"files: {path} has no source", remedy=f"give one of {', '.join(SOURCES)}")
        return {
            "path": path,
            "content": content,
            "block": raw["block"],
            "owner": raw["owner"],
            "group": raw["group"],
            "mode": parse_mode(raw["mode"], secret=False),
            # By what clients are verified is brought up to date though the rest is refused.
            **({"upkeep": True} if raw["client"] is not None else {}),
            **({"over": []} if raw["client"] == "crls" else {}),
        }


def trust_options(options: Mapping[str, Any]) -> TrustOptions:
    """By what clients and upstreams are to be verified."""
    upstreams = options["upstreams"]
    folder = f"{parse_directory(options['directory'], 'directory')}/{FOLDER}"
    return TrustOptions(options["client_trust"], upstreams, f"{folder}/{upstreams['server']}" if upstreams else folder)


def notes_of(answer: Mapping[str, Any]) -> list[str]:
    """What a host has to say for people, as far as its answer has the agreed form."""
    notes = answer.get("notes")
    return [printable(str(each)) for each in notes] if isinstance(notes, list) else []


def held_lists(answer: Mapping[str, Any]) -> dict[str, str]:
    """Digest → content of what a host has held back, as far as its answer has the agreed form."""
    held = answer.get("held")
    entries = [each for each in held if isinstance(each, Mapping)] if isinstance(held, list) else []
    return {str(each.get("digest")): str(each.get("content")) for each in entries}


def made_names(certificates: Sequence[Mapping[str, Any]] | None) -> list[str] | None:
    """The certificates that a run makes, by name; None: nobody has said which."""
    if certificates is None:
        return None
    return [str(each["name"]) for each in certificates if "name" in each and each.get("state", PRESENT) == PRESENT]
