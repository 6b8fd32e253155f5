# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.endpoint_info``: shake hands with endpoints, from the controller or from a host, and tell what they showed."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.module_utils.scan.jobs import JobResult
from ansible_collections.fleet.tls.plugins.module_utils.scan.scanner import scan
from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import jobs_of, seen_as_answer
from ansible_collections.fleet.tls.plugins.module_utils.steps.trace import trace_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import openssl_version
from ansible_collections.fleet.tls.plugins.module_utils.tls.contexts import VERSIONS
from ansible_collections.fleet.tls.plugins.module_utils.tls.starttls import PROTOCOLS
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.accepted import parse_profiles
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.fields import text_or_none
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.judged_profiles import PROFILES
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.results import Announcer, Results, ResultsFile
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace import check_count, read_trace
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.wanted import (
    Defaults,
    Judge,
    as_request,
    parse_anchors,
    parse_endpoints,
    parse_wishes,
    require,
    results_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction


class ActionModule(TlsAction):
    """Options in, one round of handshakes, result out."""

    # Ansible looks at this for persistent connections (network devices) only: they need not be there to probe from the
    # controller. All others are opened by the first step on the host, so not at all where the controller probes.
    _requires_connection = False

    STEPS = ("handshake", "trace")
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "endpoints": {"type": "list", "elements": "raw", "required": True},
        "origin": {"type": "str", "choices": ["controller", "host"], "default": "controller"},
        "timeout": {"type": "str", "default": "5s"},
        "server_name": {"type": "str"},
        "starttls": {"type": "str", "choices": list(PROTOCOLS)},
        "proxy_protocol": {"type": "raw", "default": False},
        # Not "path": that would expand "~" here, and the file may be on the host.
        "client_certificate": {"type": "str"},
        "client_key": {"type": "str"},
        "anchors": {"type": "raw"},
        "required": {"type": "bool", "default": False},
        "alpn": {"type": "list", "elements": "str", "default": []},
        "retries": {"type": "int", "default": 0},
        "resumption": {"type": "bool", "default": False},
        "resume_at": {"type": "list", "elements": "raw", "default": []},
        "stapling": {"type": "bool", "default": False},
        "key_types": {"type": "bool", "default": False},
        "enumerate": {"type": "bool", "default": False},
        "profiles": {"type": "list", "elements": "str", "choices": list(PROFILES), "default": []},
        "post_quantum": {"type": "bool", "default": False},
        "minimum_version": {"type": "str", "choices": list(VERSIONS)},
        "maximum_version": {"type": "str", "choices": list(VERSIONS)},
        "trace": {"type": "bool", "default": False},
        # The controller's.
        "results_file": {"type": "path"},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        defaults = Defaults(**{name: options[name] for name in Defaults.__dataclass_fields__})
        endpoints = parse_endpoints(options["endpoints"], defaults)
        anchors, now = parse_anchors(options["anchors"]), self.now()
        judge = Judge(anchors, now, parse_profiles(options["profiles"]))
        openssl: Any = openssl_version()
        request = {**as_request(endpoints), **parse_wishes(options, defaults)}
        if options["trace"]:
            check_count(request)
        # In check mode nothing is written, on the controller neither.
        to_file = options["results_file"] and not self._task.check_mode
        results = ResultsFile(options["results_file"]) if to_file else Results(len(endpoints))
        try:
            if options["trace"]:
                here = options["origin"] == "controller"
                answer = trace_step(request)[1] if here else self.step("trace", request, variables)
                openssl = answer.get("openssl")
                for place, said in enumerate(results_of(endpoints, answer)):
                    entry = judge.entry(endpoints[place], said)
                    trace = read_trace(endpoints[place], said, entry, anchors, now)
                    results.keep(place, {**entry, "trace": trace})
            elif options["origin"] == "host":
                answer = self.step("handshake", request, variables)
                openssl = answer.get("openssl")
                for place, said in enumerate(results_of(endpoints, answer)):
                    results.keep(place, judge.entry(endpoints[place], said))
            else:
                jobs = jobs_of(request)

                def report(place: int, seen: JobResult) -> None:
                    results.keep(place, judge.entry(endpoints[place], seen_as_answer(jobs[place], seen)))

                scan(jobs, report, Announcer(self._display.display))
            results.close()
        except BaseException:
            results.abandon()
            raise
        result = {"changed": False, "openssl": text_or_none(openssl), **results.result()}
        if options["required"]:
            try:
                require(result["endpoints"])
            except HostError as error:
                error.result = result  # type: ignore[attr-defined]
                raise
        return result
