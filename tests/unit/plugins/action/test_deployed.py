# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment notes of a host at its end, and forgets before that host asks others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.action.deployed import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair, LastLook, known_looks
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action

LOOK = LastLook(5, "w", {"internal": "t"}, {"internal": "l"}, {"www": KnownPair("aa", 1, 9, "pool")})


def noted(folder: Path, options: str, **more: Any) -> dict[str, LastLook]:
    """What is noted after the task."""
    known = {"tls_store": {"path": str(folder / "store")}, "look": LOOK.as_json()}
    result = run_action(ActionModule, f'store: "{{{{ tls_store }}}}"\n{options}', known, **more)
    assert not result["changed"]
    return known_looks(load_store(known["tls_store"]))


def test_a_host_is_noted_and_forgotten_but_not_in_check_mode(tmp_path: Path) -> None:
    look = 'look: "{{ look }}"'
    assert noted(tmp_path, look, check_mode=True) == {}
    assert noted(tmp_path, look) == {"web1": LOOK}
    assert noted(tmp_path, "", check_mode=True) == {"web1": LOOK}
    assert noted(tmp_path, "") == {}
    assert noted(tmp_path, f"{look}\nhanded_out: {{trust: {{internal: u}}, lists: {{internal: m}}}}")["web1"].trust == {
        "internal": "u"
    }


def test_a_host_whose_certificates_are_not_there_after_all_is_not_noted(tmp_path: Path) -> None:
    waiting = "certificates: {certificates: [{name: www, installed: false}]}"
    assert noted(tmp_path, 'look: "{{ look }}"') == {"web1": LOOK}
    assert noted(tmp_path, 'look: "{{ look }}"\n' + waiting) == {}
