# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a broken controller or issuer would have a host install: the real step on the real host, with certificates of a stranger."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.host_requests import apply_request, install_entry
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority
from tools.playbook import run_playbook

Damage = Callable[[list[str], Authority], list[str]]
STEP = [
    {
        "hosts": "all", "gather_facts": False,
        "tasks": [{"name": "Step", "fleet.tls.host_apply": {"step": "apply", "request": "{{ request }}", "secrets": "{{ keys }}"}}],
    }
]  # fmt: skip


def mismatched(chain: list[str], _authority: Authority) -> list[str]:
    """The chain as it is; what does not fit is the key, see :func:`wanted_install`."""
    return chain


def wanted_install(wanted: Iterable[Mapping[str, Any]], stranger: Authority, damage: Damage) -> dict[str, Any]:
    """Variables of a host: the request to install what ``damage`` makes of a stranger's chains, and the keys.

    :param wanted: entries of ``tls_certificates``, with one name each.
    """
    spec = parse_host(list(wanted), {"internal": 30 * 86400})
    entries, keys = [], {}
    for one in spec.certificates:
        pair = stranger.issue(f"{damage.__name__}-{one.name}", f"DNS:{one.names.dns_names[0]}")
        chain = [pair.pem, stranger.issuing.pem]
        entry = install_entry(one, parse_pem_chain("".join(chain)), "internal", "0" * 32)
        entries.append({**entry, "chain": damage(chain, stranger)})
        keys[one.name] = (stranger.root.key if damage is mismatched else pair.key).read_text()
    now = dt.datetime.now(dt.timezone.utc)
    return {"request": apply_request(entries, spec, Settings(prove_timeout=20), now), "keys": keys}


def see_refused(folder: Path, hosts: Mapping[str, Mapping[str, Any]], code: str) -> None:
    """Have hosts install it, and see that all of it is refused with this error, before anything is touched.

    :param hosts: name → variables, with those of :func:`wanted_install`.
    """
    play, inventory = folder / "step.yml", folder / "step.json"
    play.write_text(json.dumps(STEP))
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    result = run_playbook(play, inventory).check()
    for host in hosts:
        (found,) = result.results(host=host, action="fleet.tls.host_apply")
        assert not found["changed"] and found["answer"]["services"] == {}
        for name, outcome in found["answer"]["certificates"].items():
            assert outcome["error"]["code"] == code, (host, name, outcome)
            assert not outcome["installed"] and not outcome["changed"]
