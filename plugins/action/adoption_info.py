# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.adoption_info``: which pairs of a host fleet.tls could take over, as entries of ``tls_certificates``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.adoption.candidates import Candidate, Judge
from ansible_collections.fleet.tls.plugins.plugin_utils.adoption.places import CONFIGURATIONS, LINEAGES
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of, parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.health.certificate_files import (
    PATHS,
    parse_search,
    printable,
    read_files,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_presets, parse_service
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import DIRECTORY_OPTION, PRESETS_OPTION, TlsAction


class ActionModule(TlsAction):
    """Options in, one round trip, judged, result out."""

    STEPS = ("files",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **DIRECTORY_OPTION,
        **PRESETS_OPTION,
        # Not "path": that would expand "~" here, and these are the host's.
        "paths": {"type": "list", "elements": "str"},
        "exclude": {"type": "list", "elements": "str"},
        "configurations": {"type": "dict", "default": {}},
        "issuer": {"type": "str"},
        "issuers": {"type": "list", "elements": "str", "required": True},
        "certificates": {"type": "list", "elements": "raw", "default": []},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        issuer = issuer_of(options["issuer"], options["issuers"])
        presets = parse_presets(options["service_presets"])
        configurations = parse_configurations(options["configurations"], presets)
        directory = parse_directory(options["directory"], "directory")
        paths = options["paths"]
        if paths is None:
            paths = [*LINEAGES, *(each.format(directory=directory) for each in PATHS)]
        search = parse_search(paths, options["exclude"], (), trust_stores=False, directory=directory)
        answer = self.step("files", {**search.as_request(), "configurations": configurations}, variables, {})
        named = read_named(answer, configurations)
        found = Judge(read_files(answer, self.now()), named, issuer, names_in(options["certificates"]), presets)()
        result: dict[str, Any] = {
            "changed": False,
            "adoptable": [as_result(each) for each in found.candidates],
            "refused": [{"path": printable(path), "why": printable(why)} for path, why in found.refused.items()],
        }
        if answer.get("truncated"):
            result["warnings"] = [f"the search ended early: {printable(answer['truncated'])}; name fewer paths"]
        return result


def issuer_of(wanted: str | None, issuers: list[str]) -> str:
    """Who is to renew what is taken over.

    :raises SpecError: that is not known.
    """
    if wanted:
        return one_of(wanted, issuers, "issuer")
    if len(issuers) == 1:
        return str(issuers[0])
    raise SpecError(
        "who is to renew what is taken over? There is more than one issuer"
        if issuers
        else "there is no issuer that could renew anything",
        remedy=f"name one with -e tls_adopt_issuer=...: {', '.join(issuers)}"
        if issuers
        else "describe one in tls_issuers",
    )


def parse_configurations(raw: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Ours, and the user's in their place.

    :raises SpecError: a service that nobody knows, or a path that is not absolute.
    """
    found = {service: list(patterns) for service, patterns in CONFIGURATIONS.items()}
    for service, patterns in raw.items():
        parse_service(str(service), "", Names(), presets)
        wanted = [patterns] if isinstance(patterns, str) else patterns
        if not isinstance(wanted, (list, tuple)) or not all(str(each).startswith("/") for each in wanted):
            raise SpecError(
                f"configurations: {service}: these are no absolute paths", remedy="write {nginx: [/srv/nginx/**]}"
            )
        found[str(service)] = [str(each) for each in wanted]
    return found


def read_named(answer: Mapping[str, Any], configurations: Iterable[str]) -> dict[str, list[str]]:
    """Which files services name, of those that were asked about.

    :raises HostError: the answer does not have the agreed shape.
    """
    named = answer.get("named")
    if not isinstance(named, Mapping) or not all(isinstance(each, (list, tuple)) for each in named.values()):
        raise HostError("the host's answer does not have the agreed shape", code="bad_answer")
    return {service: [str(path) for path in named.get(service, ())] for service in configurations}


def names_in(raw: Iterable[Any]) -> list[str]:
    """The names of certificates that are in the inventory already."""
    return [str(each["name"]) for each in raw if isinstance(each, Mapping) and each.get("name")]


def as_result(each: Candidate) -> dict[str, Any]:
    """A candidate as it stands in the result."""
    return {
        "entry": dict(each.entry),
        "not_after": each.not_after,
        "public_key_sha256": each.key,
        "notes": list(each.notes),
    }
