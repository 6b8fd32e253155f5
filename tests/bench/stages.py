# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage of a rotation costs the controller, by the size of the inventory; run by ./dev bench stages.

The hosts are local and have nothing to prove, so that what is left is what grows with the inventory. CPU seconds, not wall time.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.hosts import WrongResult
from bench.measure import measure
from tools.playbook import ansible_environment, playbook_command

STORE = {"store": "{{ tls_store }}", "issuers": "{{ tls_issuers }}", "rotation": "keys"}
INVENTORY = {"inventory": "{{ hostvars | fleet.tls.gathered('tls_certificates', groups['all'], part='names') }}"}


def task(state: str, **more: Any) -> dict[str, Any]:
    """A task of the module; every state but ``proven`` is the whole run's, as in the collection's playbooks."""
    whole = {} if state == "proven" else {"run_once": True}
    given = INVENTORY if state in ("begun", "advanced") else {}
    return {"name": state, "fleet.tls.rotation": {**STORE, "state": state, **given, **more}, **whole}


def playbook() -> list[dict[str, Any]]:
    """One rotation of the keys of all hosts."""
    tasks = [task("begun"), task("proven"), task("advanced")]
    return [{"name": "stages", "hosts": "all", "gather_facts": False, "tasks": tasks}]


def inventory(count: int, store: Path) -> dict[str, Any]:
    """Local hosts, each with what a host of a real inventory knows."""
    names = [f"web{number}" for number in range(1, count + 1)]
    certificate = {"name": "www", "issuer": "internal", "dns_names": ["{{ inventory_hostname }}.example.com"]}
    shared = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "tls_store": {"path": str(store), "passphrase": "only for this measurement, thrown away"},
        "tls_issuers": {"internal": {"type": "ca"}},
        "tls_certificates": [certificate],
    }
    return {"all": {"hosts": dict.fromkeys(names, {}), "vars": shared}}


def cpu_seconds(count: int) -> float:
    """CPU seconds of one run, its workers' and its hosts' with it.

    :raises WrongResult: it did not do its job.
    """
    with tempfile.TemporaryDirectory(prefix="fleet-tls-stages-") as name:
        folder = Path(name)
        hosts, plays = folder / "hosts.json", folder / "stages.yml"
        hosts.write_text(json.dumps(inventory(count, folder / "store")), encoding="utf-8")
        plays.write_text(json.dumps(playbook()), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        measure(playbook_command(plays, hosts, venv="main"), ansible_environment("main"))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="./dev bench stages", description=__doc__.splitlines()[0])
    parser.add_argument("hosts", nargs="*", type=int, default=[50, 100, 200], help="sizes of the inventory")
    print("hosts   CPU seconds   over the linear part", flush=True)
    linear = None
    try:
        for count in parser.parse_args().hosts:
            whole = cpu_seconds(count)
            linear = linear or whole / count
            print(f"{count:5d} {whole:13.1f} {whole - linear * count:+22.1f}", flush=True)
    except WrongResult as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
