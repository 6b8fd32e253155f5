# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.probe``: shake hands with endpoints, from the controller or from a host, and tell what they showed."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.module_utils.handshake import handshake_step
from ansible_collections.fleet.tls.plugins.module_utils.starttls import PROTOCOLS
from ansible_collections.fleet.tls.plugins.module_utils.tls_contexts import VERSIONS
from ansible_collections.fleet.tls.plugins.module_utils.trace import trace_step
from ansible_collections.fleet.tls.plugins.plugin_utils.action import TlsAction
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.scan import (
    Defaults,
    as_request,
    parse_anchors,
    parse_endpoints,
    read_answer,
    require,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.trace import add_traces, check_count


class ActionModule(TlsAction):
    """Options in, one round of handshakes, result out."""

    # Ansible looks at this for persistent connections (network devices) only: they need not be there to probe from the
    # controller. All others are opened by the first step on the host, so not at all where the controller probes.
    _requires_connection = False

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "endpoints": {"type": "list", "elements": "raw", "required": True},
        "origin": {"type": "str", "choices": ["controller", "host"], "default": "controller"},
        "timeout": {"type": "float", "default": 5.0},
        "server_name": {"type": "str"},
        "starttls": {"type": "str", "choices": list(PROTOCOLS)},
        # Not "path": that would expand "~" here, and the file may be on the host.
        "client_certificate": {"type": "str"},
        "client_key": {"type": "str"},
        "anchors": {"type": "raw"},
        "required": {"type": "bool", "default": False},
        "minimum_version": {"type": "str", "choices": list(VERSIONS)},
        "maximum_version": {"type": "str", "choices": list(VERSIONS)},
        "trace": {"type": "bool", "default": False},
        "resume": {"type": "bool", "default": False},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        defaults = Defaults(**{name: options[name] for name in Defaults.__dataclass_fields__})
        endpoints = parse_endpoints(options["endpoints"], defaults)
        anchors = parse_anchors(options["anchors"])
        request, now = as_request(endpoints), self.now()
        if options["trace"]:
            check_count(endpoints)
            request["resume"] = options["resume"]
        step, here = ("trace", trace_step) if options["trace"] else ("handshake", handshake_step)
        if options["origin"] == "host":
            answer = self.step(step, request, variables)
        else:
            _changed, answer = here(request)
        entries = read_answer(endpoints, answer, anchors=anchors, now=now)
        if options["trace"]:
            add_traces(endpoints, entries, answer, anchors=anchors, now=now)
        result = {"changed": False, "endpoints": entries}
        if options["required"]:
            try:
                require(entries)
            except HostError as error:
                error.result = result  # type: ignore[attr-defined]
                raise
        return result
