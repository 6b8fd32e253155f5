# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev pytest: pytest as the suite would run it whose tests are named. Standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fleet.podman import why_not  # noqa: E402
from tools import packages, paths, trees  # noqa: E402
from tools.running import Run, Skipped, pytest_command  # noqa: E402
from tools.suites import SUITES, Suite  # noqa: E402

WITH_TESTS = {suite.name: suite for suite in SUITES if suite.folders}
USAGE = """usage: ./dev pytest [SUITE] ARGUMENTS

Runs pytest with these arguments, in the environment of the suite whose tests are named:
  ./dev pytest tests/unit/plugins/action -k ca
  ./dev pytest tests/fleet/test_hosts.py::test_name -x
A suite's name first says which, where several have the same tests: {0}
pytest's own options: ./dev pytest unit --help"""


def paths_in(words: Sequence[str]) -> list[Path]:
    """Those of pytest's arguments that name tests: other words belong to options."""
    named = [Path(word.partition("::")[0]) for word in words if not word.startswith("-")]
    return [path.resolve() for path in named if path.exists()]


def suite_of(words: Sequence[str]) -> Suite:
    """The first suite that has one of the tests that are named; the unit tests when none is named."""
    for suite in WITH_TESTS.values():
        folders = [paths.ROOT / folder for folder in suite.folders]
        if any(folder == path or folder in path.parents for folder in folders for path in paths_in(words)):
            return suite
    return WITH_TESTS["unit"]


def main(words: list[str]) -> int:
    """Prepare the suite, then become pytest; 2 when it cannot be had here."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE.format(", ".join(WITH_TESTS)))
        return 0
    chosen = WITH_TESTS.get(words[0])
    words = words[1:] if chosen else words
    suite = chosen or suite_of(words)
    try:
        trees.link()
        reason = why_not() if suite.containers else None
        if reason:
            raise Skipped(reason)
        suite.prepare(Run("pytest"))
    except (Skipped, packages.SetupError) as error:
        print("dev: the suite {0} cannot be had here: {1}".format(suite.name, error), file=sys.stderr)
        return 2
    folders = () if paths_in(words) else suite.folders
    command = pytest_command(folders, *words, venv=suite.venv)
    os.execve(command[0], command, suite.environment())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
