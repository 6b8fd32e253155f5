# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The suites of ./dev test, by name: one line in SUITES each. tests/README.md says which is for what. Standard library only."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Callable

from tools import checks, java, packages, paths, venvs
from tools.playbook import CONTROLLER_VARIABLE
from tools.running import Run, Skipped, environment, program, pytest

# Two processors, and tests that wait for processes and servers: more than two at once only make each other late.
TWO = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")


@dataclass(frozen=True)
class Suite:
    """A suite: pytest on folders, or a function.

    about: what it is, in a line.
    folders: below the checkout; their tests run with pytest in the virtual environment ``venv``.
    options: of pytest.
    controller: the virtual environment whose ansible-playbook they run.
    packages: uses of tools/packages.py that the tests need; others: more virtual environments.
    function: instead of folders. It returns when the suite passed and raises Failed or Skipped when not.
    containers: it needs hosts; it is skipped, with the reason, where containers cannot run.
    alone: it starts when all others have ended.
    on_request: it runs where it is named, and only there.
    """

    name: str
    about: str
    folders: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    venv: str = "main"
    controller: str = "main"
    packages: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    function: Callable[[Run], None] | None = None
    containers: bool = False
    alone: bool = False
    on_request: bool = False

    def prepare(self, run: Run) -> None:
        """What the tests need, made and installed; Skipped where that cannot be."""
        try:
            with run.timed("packages"):
                # A Java of the user's may do as well as Debian's.
                packages.ensure(*(use for use in self.packages if use != "java" or java.find_home() is None))
        except packages.SetupError as error:
            raise Skipped(" ".join(str(error).split())[-300:]) from error
        for name in dict.fromkeys((self.venv, self.controller, *self.others)):
            try:
                run.venv(name)
            except venvs.NoPython as error:
                raise Skipped(str(error)) from error

    def perform(self, run: Run) -> None:
        """Run it to its end."""
        self.prepare(run)
        if self.function:
            self.function(run)
        else:
            pytest(run, self.folders, *self.options, venv=self.venv, env=self.environment())

    def environment(self) -> dict[str, str]:
        """What its tests run with."""
        return environment(self.venv, **{CONTROLLER_VARIABLE: self.controller})


def molecule(run: Run) -> None:
    """Every Molecule scenario, on hosts that they share."""
    state = paths.DEV / "molecule"
    # A run that was killed leaves "created" behind, and the next one would look for its hosts.
    shutil.rmtree(state, ignore_errors=True)
    env = environment(ANSIBLE_COLLECTIONS_PATH=str(paths.COPY_TREE), MOLECULE_EPHEMERAL_DIRECTORY=str(state))
    # Molecule writes a configuration of its own, from extensions/molecule/config.yml.
    del env["ANSIBLE_CONFIG"]
    run.run([program("molecule"), "test", "--all"], cwd=paths.COPY, env=env)


def storm(run: Run) -> None:
    """./dev storm."""
    run.venv("system")
    folders = {"PYTHONPATH": str(paths.ROOT / "tests"), "FLEET_TLS_COLLECTIONS": str(paths.COLLECTIONS)}
    env = environment("system", **folders, **{CONTROLLER_VARIABLE: "system"})
    run.run([program("python", "system"), "-m", "storm"], name="storm", env=env)


# All unit tests less those of module_utils.
CONTROLLER = (
    "tests/unit/extensions",
    "tests/unit/plugins/action",
    "tests/unit/plugins/modules",
    "tests/unit/plugins/plugin_utils",
    "tests/unit/plugins/sub_plugins",
)
# In this order they are started, so many at once as there are lanes; a lane that is free takes the next. What takes longest comes
# first, and what computes (unit, lint, sanity) stands beside what waits.
LANES = 2
SUITES = (
    Suite(
        "fleet", "pytest on real hosts, with the lowest Python and ansible-core of a controller",
        ("tests/fleet",), TWO, venv="lowest", controller="lowest", containers=True,
    ),
    Suite(
        "local", "whole runs against real servers on loopback, with the lowest Python and ansible-core of a controller; some with the newest",
        ("tests/local",), TWO, venv="lowest", controller="lowest", packages=("nginx", "clock", "keystores", "testssl"), others=("mitogen", "sslyze"),
    ),
    Suite(
        "acme", "the issuer acme with real ACME and DNS servers on loopback",
        ("tests/acme_servers",), TWO, venv="system", controller="system", packages=("nginx", "acme", "lego", "dehydrated"),
        others=("acme2certifier", "certbot"),
    ),
    Suite(
        "unit", "unit tests with the newest ansible-core and cryptography",
        ("tests/unit",), TWO, packages=("nginx", "keystores", "gnutls", "cas"),
    ),
    Suite(
        "docs", "every block of guides, runbooks and examples, on real hosts",
        ("tests/docs",), ("-n", "2", "--dist", "worksteal"), venv="system", controller="system", packages=("acme",), others=("bao",), containers=True,
    ),
    Suite("molecule", "a scenario for each role, on hosts that they share", function=molecule, containers=True),
    Suite("sanity", "ansible-test sanity, for every Python of a managed host that is here", packages=("lint",), function=checks.sanity),
    Suite(
        "bao", "the store and the issuer of type openbao, with real servers on loopback",
        ("tests/bao",), TWO, venv="system", controller="system", packages=("nginx",), others=("bao",),
    ),
    Suite(
        "keys", "CA keys in tokens of SoftHSM2, in OpenBao's transit engine, and of programs",
        ("tests/keys",), TWO, venv="system", controller="system", packages=("tokens",), others=("bao",),
    ),
    Suite(
        "unit-lowest", "unit tests of the controller with the lowest ansible-core and cryptography that are promised",
        CONTROLLER, TWO, venv="lowest", packages=("nginx", "keystores", "gnutls", "cas"),
    ),
    Suite(
        "pq", "ML-DSA beside ECDSA on a host of Debian 13: servers, clients of both kinds, a CA rollover",
        ("tests/pq",), TWO, venv="system", controller="system", containers=True,
    ),
    Suite("lint", "ansible-lint, ruff, mypy, shellcheck, changelog and documentation", packages=("lint",), function=checks.lint),
    Suite(
        "report", "reports as their readers read them: a browser, promtool, an XML schema, a calendar library",
        ("tests/report",), venv="report", packages=("report",),
    ),
    Suite(
        "unit-3.9", "unit tests of what runs on managed hosts, with the lowest Python that is promised",
        ("tests/unit/plugins/module_utils",), TWO, venv="host", packages=("nginx", "keystores"),
    ),
    Suite(
        "eda", "the event source and the rulebook, with the real ansible-rulebook",
        ("tests/eda",), packages=("nginx", "java"), others=("eda",),
    ),
    Suite(
        "awx", "the kit for AWX, and jobs of ansible-runner and ansible-navigator",
        ("tests/awx",), packages=("nginx",), others=("awx",),
    ),
    Suite(
        "build", "a release in a clone, twice the same, as Galaxy's importer wants it; the documentation site without a warning",
        others=("site", "importer"), function=checks.build,
    ),
    # It counts what a session's lifetime allows, so it must not wait for a processor. Ten minutes for what fleet shows with fewer clients.
    Suite(
        "storm", "all rotations, under a storm of handshakes on real hosts: ./dev storm",
        function=storm, containers=True, alone=True, on_request=True,
    ),
)  # fmt: skip
