# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the collection beside community.crypto and a bare ping, on real hosts, in one run; run by ./dev bench.

Says how fast, never fails for slowness: the exit status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.hosts import Hosts, WrongResult
from bench.scenarios import SCENARIOS, VENV, Bench, Scenario, Times
from bench.table import table
from fleet.fleet import FleetError
from fleet.podman import PodmanError
from tools import paths

VERSIONS = """
import json, importlib.metadata as m, importlib.util, os
installed = {each.metadata["Name"]: each.version for each in m.distributions()}
found = {name: installed[name] for name in ("ansible-core", "cryptography", "mitogen") if name in installed}
collections = importlib.util.find_spec("ansible_collections")
for place in collections.submodule_search_locations if collections else ():
    manifest = place + "/community/crypto/MANIFEST.json"
    if os.path.exists(manifest):
        found["community.crypto"] = json.load(open(manifest))["collection_info"]["version"]
print(json.dumps(found))
"""


def versions(hosts: Hosts, venv: str = VENV) -> str:
    """The machine and everything that takes part, in one line.

    :param venv: the virtual environment that was measured.
    """
    python = str(paths.venv(venv) / "bin" / "python")
    found = json.loads(subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout)
    ask = [python, "-c", "import platform; print(platform.python_version())"]
    release = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    host = hosts.names[0]
    script = '. /etc/os-release; echo "$PRETTY_NAME, $(python3 -V), $(openssl version | cut -d" " -f1,2)"'
    return "Controller: {0} CPUs, {1}, Python {2}, {3}. {4} hosts on the same machine (containers): {5}.".format(
        os.cpu_count(),
        release,
        subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip(),
        ", ".join(f"{name} {version}" for name, version in found.items()),
        len(hosts.names),
        hosts.run(host, ["sh", "-c", script]).strip(),
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how many runs of each are counted")
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one round and no warm-up: to see that all of it works")
    parser.add_argument("--only", default="", help="scenarios whose title has this text")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave the hosts up; the next run removes them, or fleet.py down --name bench",
    )
    options = parser.parse_args()
    if options.rounds < 1 or options.hosts < 1:
        parser.error("--rounds and --hosts are at least 1")
    return options


def say(text: str) -> None:
    """Progress; standard output has the table alone."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure and print."""
    options = arguments()
    rounds, warm_up = (1, 0) if options.quick else (options.rounds, 1)
    hosts = Hosts(options.hosts)
    try:
        hosts.up()
        bench = Bench(hosts, rounds, warm_up, say)
        measured: list[tuple[Scenario, Times]] = []
        for scenario in SCENARIOS:
            if options.only in scenario.title:
                measured.append((scenario, bench.measure(scenario)))
        print(table(measured, rounds))
        print("\n" + versions(hosts))
        return 0
    except (FleetError, PodmanError, WrongResult) as error:
        say(f"bench: {error}")
        return 1
    finally:
        if options.keep:
            say(f"the hosts stay up: inventory {os.path.relpath(hosts.fleet.inventory)}")
        else:
            hosts.close()


if __name__ == "__main__":
    sys.exit(main())
