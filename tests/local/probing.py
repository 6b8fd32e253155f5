# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.tls.endpoint_info in a playbook, for tests that look at what it returns."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tools.playbook import PlaybookResult, run_playbook

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
NOWHERE = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}


def play(folder: Path, tasks: list[dict[str, Any]], host: dict[str, Any] | None = None) -> PlaybookResult:
    """Run tasks on one host, which cannot be reached unless ``host`` says how."""
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"web1": host or NOWHERE}}}))
    playbook = folder / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return run_playbook(playbook, inventory)


def probe(folder: Path, host: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """What one task returns, which has to succeed."""
    result = play(folder, [{"fleet.tls.endpoint_info": options}], host).check()
    return dict(result.results(action="fleet.tls.endpoint_info")[0])
