# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many hosts on this machine: a directory of certificates each, and local connections. They are filled without Ansible, which would take long."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.steps.apply import apply_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host

HOST = "{{ inventory_hostname }}"


def folder_of(folder: Path, host: str) -> str:
    """The ``tls_directory`` of a host."""
    return f"{folder}/hosts/{host}"


def wish(name: str, host: str) -> dict[str, Any]:
    """An entry of ``tls_certificates``."""
    return {"name": name, "issuer": "internal", "dns_names": [f"{name}.{host}.example.com"]}


def variables(folder: Path, issuers: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What the inventory says about all of them.

    :param names: of each host's certificates.
    """
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "tls_store": {"path": str(folder / "store"), "passphrase": secrets.token_urlsafe(24)},
        "tls_issuers": dict(issuers),
        "tls_trust_system": False,
        "tls_directory": folder_of(folder, HOST),
        "tls_certificates": [wish(name, HOST) for name in names],
    }


def installed(
    directory: str, host: str, names: Sequence[str], issuers: Mapping[str, Issuer], then: dt.datetime
) -> dict[str, KnownPair]:
    """Put pairs on a host that were issued ``then``: the task itself, on that day. Their names, and what is known of each."""
    spec = parse_host([wish(name, host) for name in names], {name: each.lifetime for name, each in issuers.items()})
    run = HostRun(host, spec, issuers, Settings(directory=directory), partial(look, then), partial(apply, then), then)()
    known = {}
    for name, done in run.progress.items():
        leaf = done.chain[0]
        begins, ends = seconds(leaf.not_valid_before_utc), seconds(leaf.not_valid_after_utc)
        known[name] = KnownPair(fingerprint(leaf), begins, done.spec.renew_before.due_at(begins, ends))
    return known


def look(then: dt.datetime, request: Any) -> Mapping[str, Any]:
    """Step look, with a host's clock of that day."""
    return {**look_step(json.loads(json.dumps(request)))[1], "clock": then.timestamp()}


def apply(_then: dt.datetime, request: Any, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Step apply."""
    return apply_step(json.loads(json.dumps(request)), dict(given))[1]
