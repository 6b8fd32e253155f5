# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev test: runs the suites, prints the output of each as a block, then where the time went, and one summary line last.

Standard library only: it makes the virtual environments that the suites run in.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fleet import images  # noqa: E402
from fleet.podman import why_not  # noqa: E402
from tools import packages, time_table, trees  # noqa: E402
from tools.running import Failed, Run, Skipped  # noqa: E402
from tools.suites import LANES, SUITES, Suite  # noqa: E402
from tools.time_table import Result  # noqa: E402

TROUBLE = (packages.SetupError, OSError, subprocess.SubprocessError)
PRINTING = threading.Lock()


class Setup:
    """What suites have in common, made before them: the collection trees and the main environment; images of hosts."""

    def __init__(self) -> None:
        self.main = Run("setup")
        self.images = Run("setup-images")
        self.no_containers: str | None = None

    def make(self, *, containers: bool) -> None:
        """Make both at once; raises what stands against the first, and notes what stands against the second."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(self._main), *([pool.submit(self._images)] if containers else [])]
        for job in jobs:
            job.result()

    def _main(self) -> None:
        with self.main.timed("trees"):
            trees.link()
            trees.copy()
        self.main.venv("main")

    def _images(self) -> None:
        self.no_containers = why_not()
        if self.no_containers is None:
            with self.images.timed("images"):
                built, left_out = images.ensure_all(images.RELEASES)
            self.images.notes += ["{0}; its hosts have another release".format(reason) for reason in left_out.values()]
            os.environ[images.LEFT_OUT] = ",".join(left_out)
            if not built:
                self.no_containers = "no host image can be had"


def perform(suite: Suite, setup: Setup) -> Result:
    """Run one suite and print its block."""
    run, start, reason = Run(suite.name), time.monotonic(), ""
    try:
        if suite.containers and setup.no_containers:
            raise Skipped(setup.no_containers)
        suite.perform(run)
        verdict = "passed"
    except Skipped as error:
        verdict, reason = "skipped", str(error)
    except (Failed, *TROUBLE) as error:
        verdict, reason = "failed", str(error)
    seconds = time.monotonic() - start
    with PRINTING:
        print("==== {0}".format(suite.name))
        print(run.log.read_text(encoding="utf-8", errors="replace"), end="")
        print(
            "---- {0} {1} ({2:.0f} s){3}\n".format(suite.name, verdict, seconds, reason and ": " + reason), flush=True
        )
    return Result(suite.name, verdict, seconds, reason, run)


def perform_all(suites: Sequence[Suite], setup: Setup) -> list[Result]:
    """Run the suites, some of them side by side; their results in the order of the suites."""
    together = [suite for suite in suites if not suite.alone]
    with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
        results = list(lanes.map(lambda suite: perform(suite, setup), together))
    return results + [perform(suite, setup) for suite in suites if suite.alone]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="./dev test",
        description="Runs the test suites, or those that are named; at the end: where the time went, and a line with the counts.",
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="of those that --list names")
    parser.add_argument("--list", action="store_true", help="name the suites, and run none")
    return parser


def main(words: list[str]) -> int:
    """Run the suites that are named, or all that need not be; 1 when one failed."""
    options = parser().parse_args(words)
    if options.list:
        for suite in SUITES:
            print(
                "{0:12} {1}{2}".format(suite.name, suite.about, " (only where it is named)" if suite.on_request else "")
            )
        return 0
    known, names = [suite.name for suite in SUITES], options.suites
    unknown = sorted(set(names) - set(known))
    if unknown:
        print("unknown suite {0}; there are: {1}".format(", ".join(unknown), ", ".join(known)), file=sys.stderr)
        return 2
    start = time.monotonic()
    suites = [suite for suite in SUITES if (suite.name in names if names else not suite.on_request)]
    setup = Setup()
    try:
        setup.make(containers=any(suite.containers for suite in suites))
        results = perform_all(suites, setup)
    except TROUBLE as error:
        # Nothing can run; each suite is counted as one that failed.
        print("the test environment cannot be made: {0}".format(error), file=sys.stderr)
        results = [Result(suite.name, "failed", 0.0, "no test environment", Run(suite.name)) for suite in suites]
    print(time_table.table([setup.main, setup.images], results, time.monotonic() - start))
    verdicts = [each.verdict for each in results]
    counts = [verdicts.count(each) for each in ("passed", "failed", "skipped")]
    print("{0} passed, {1} failed, {2} skipped".format(*counts))
    return 1 if "failed" in verdicts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
