# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first issue of eight hosts with the issuing CA's key in a token of SoftHSM2, beside the same with it in the store; run by ./dev bench keys.

Both are fleet.tls.deploy with nothing there yet: the CA is made too. The rounds take turns, and so does which of the two begins. Says how
fast, never fails for slowness: the exit status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.append(os.environ["FLEET_TLS_COLLECTIONS"])

from bench.hosts import WrongResult
from bench.local_hosts import variables
from bench.measure import check_changed, measure
from keys.softhsm import make_token
from tools.playbook import ansible_environment, playbook_command

STORE, TOKEN = "key in the store", "key in SoftHSM2"
TARGET = 1.10


def issuer(folder: Path, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """An internal CA, and what its processes need in their environment."""
    made: dict[str, Any] = {"type": "ca", "duration": "30d"}
    if where == STORE:
        return made, {}
    token = make_token(folder / "token")
    return {**made, "keys": {"issuing": token.options(pin=None, pin_env="TOKEN_PIN")}}, {
        **token.environment,
        "TOKEN_PIN": str(token.options()["pin"]),
    }


def first_issue(folder: Path, where: str, hosts: int, certificates: int) -> tuple[float, float]:
    """Wall time and processor time in seconds until all is issued and installed.

    :raises WrongResult: it is not, or the key is not where it was to be.
    """
    folder.mkdir()
    made, environment = issuer(folder, where)
    common = variables(folder, {"internal": made}, [f"www{number}" for number in range(certificates)])
    names = [f"web{number}" for number in range(hosts)]
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": dict.fromkeys(names, {}), "vars": common}}))
    command = playbook_command("fleet.tls.deploy", inventory, args=("--forks", "8"), venv="system")
    finished = measure(command, ansible_environment("system", environment))
    check_changed(finished, names)
    leaves = len(list((folder / "hosts").glob("*/live/*/cert.pem")))
    in_store = (folder / "store/ca/internal/issuing-1.key").exists()
    if leaves != hosts * certificates or in_store is not (where == STORE):
        raise WrongResult(
            f"{leaves} certificates are there, and the issuing key is {'' if in_store else 'not '}in the store"
        )
    return finished.seconds, finished.cpu


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="./dev bench keys", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--certificates", type=int, default=5, help="per host")
    parser.add_argument("--quick", action="store_true", help="one round with one certificate per host")
    options = parser.parse_args()
    rounds, certificates = (1, 1) if options.quick else (options.rounds, options.certificates)
    times: dict[str, list[tuple[float, float]]] = {STORE: [], TOKEN: []}
    try:
        with tempfile.TemporaryDirectory(prefix="fleet-tls-keys-") as made:
            for number in range(rounds):
                order = (STORE, TOKEN) if number % 2 == 0 else (TOKEN, STORE)
                for where in order:
                    place = Path(made) / f"{number}-{where.split()[-1]}"
                    times[where].append(first_issue(place, where, options.hosts, certificates))
                    print(
                        "round {0}: {1} {2:.1f} s, {3:.1f} CPU s".format(number + 1, where, *times[where][-1]),
                        file=sys.stderr,
                        flush=True,
                    )
    except WrongResult as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    print(
        f"| {options.hosts} hosts × {certificates} certificates, median of {rounds} rounds | seconds | CPU seconds |\n|---|---|---|"
    )
    medians = {where: [median(column) for column in zip(*each)] for where, each in times.items()}
    for where, (wall, cpu) in medians.items():
        print(f"| {where} | {wall:.2f} | {cpu:.2f} |")
    # Round by round: what else the machine does in a round, it does to both.
    pairs = list(zip(times[TOKEN], times[STORE]))
    wall, cpu = (median(theirs[column] / ours[column] for theirs, ours in pairs) for column in (0, 1))
    print(f"| ratio, median of the rounds' (target: at most {TARGET:.2f}) | {wall:.2f} | {cpu:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
