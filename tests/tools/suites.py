# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev test: the suites, run in two lanes (what needs containers, and the rest), their output in blocks, one summary line last.

Standard library only: it makes the virtual environments that the suites run in.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fleet.podman import why_not  # noqa: E402
from tools import java, packages, paths, trees, venvs  # noqa: E402
from tools.playbook import ansible_environment  # noqa: E402


class Skipped(Exception):
    """The suite cannot run here; the text says why in one line."""


class Failed(Exception):
    """The suite ran and did not pass; the text is its last word."""


class Suite:
    """One suite while it runs: collects the output of its commands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.output: list[str] = []

    def run(
        self,
        command: list[str],
        *,
        cwd: Path = paths.ROOT,
        env: dict[str, str] | None = None,
        ok: tuple[int, ...] = (0,),
    ) -> int:
        """Run a command, keep what it says, and raise Failed for any other exit status than those of ``ok``."""
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env or environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        self.output.append(done.stdout)
        if done.returncode not in ok:
            raise Failed("{0} ended with {1}".format(Path(command[0]).name, done.returncode))
        return done.returncode


def environment(venv: str = "main", **extra: str) -> dict[str, str]:
    """What every suite runs with."""
    shown = {"NO_COLOR": "1", "COLUMNS": "160", "PYTHONDONTWRITEBYTECODE": "1", "FLEET_TLS_ROOT": str(paths.ROOT)}
    env = {**ansible_environment(venv), **shown, **extra}
    env["PATH"] = venvs.without_shims(env["PATH"])
    return env


def program(name: str, venv: str = "main") -> str:
    """A program of a virtual environment."""
    return str(paths.venv(venv) / "bin" / name)


def pytest(suite: Suite, folder: str, venv: str = "main", *options: str) -> None:
    """pytest on one folder; nothing collected is not a pass."""
    if not any((paths.ROOT / folder).rglob("test_*.py")):
        raise Skipped("{0} has no tests".format(folder))
    cache = "cache_dir={0}".format(paths.DEV / "pytest_cache" / suite.name)
    command = [program("python", venv), "-m", "pytest", folder, "-o", cache, *options]
    suite.run(command, env=environment(venv))


def need_nginx(*more: str) -> None:
    """Some tests of the host's part have a real nginx take what it made; ``more``: other uses of packages."""
    try:
        packages.ensure("nginx", *more)
    except packages.SetupError as error:
        raise Skipped(str(error)) from error


def unit(suite: Suite) -> None:
    """Unit tests with the newest ansible-core."""
    need_nginx("keystores")
    pytest(suite, "tests/unit")


def unit_oldest(suite: Suite) -> None:
    """Unit tests with the oldest ansible-core that is promised."""
    need_nginx("keystores")
    venvs.ensure("oldest")
    pytest(suite, "tests/unit", "oldest")


def lint(suite: Suite) -> None:
    """ansible-lint (yamllint within), ruff, mypy, shellcheck, changelog and documentation; all speak before the verdict."""
    packages.ensure("lint")
    env = environment(ANSIBLE_COLLECTIONS_PATH=str(paths.COPY_TREE), ANSIBLE_LINT_NODEPS="1")
    del env["ANSIBLE_CONFIG"]  # the collection has to be right under anybody's
    scripts = [
        "dev",
        ".ci/run",
        *(str(each.relative_to(paths.ROOT)) for each in sorted((paths.ROOT / "tests").rglob("*.sh"))),
    ]
    typed = [
        each for each in ("plugins/module_utils", "plugins/plugin_utils") if any((paths.COPY / each).rglob("*.py"))
    ]
    modules = ["--package=ansible_collections.fleet.tls." + each.replace("/", ".") for each in typed]
    commands = [
        ([packages.find("shellcheck") or "shellcheck", *scripts], paths.ROOT),
        ([program("ruff"), "check", "--output-format=concise"], paths.ROOT),
        ([program("ruff"), "format", "--check", "--output-format=concise"], paths.ROOT),
        (
            [
                program("mypy"),
                "--config-file",
                str(paths.ROOT / "mypy.ini"),
                "--cache-dir",
                str(paths.DEV / "mypy_cache"),
                *modules,
            ],
            paths.COPY_TREE,
        ),
        ([program("ansible-lint"), "--offline", "--strict", "--format=pep8"], paths.COPY),
        ([program("antsibull-changelog"), "lint"], paths.COPY),
        ([program("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "."], paths.COPY),
    ]
    problems = []
    for command, folder in commands:
        try:
            suite.run(command, cwd=folder, env=env)
        except Failed as error:
            problems.append(str(error))
    if problems:
        raise Failed("; ".join(problems))


def sanity(suite: Suite) -> None:
    """ansible-test sanity, in the copy, on every interpreter of a managed host that is here, and on our own."""
    packages.ensure("lint")
    seed_get_pip()
    env = environment(ANSIBLE_COLLECTIONS_PATH=str(paths.COPY_TREE))
    env["PATH"] = os.pathsep.join([str(venvs.targets()), env["PATH"]])
    try:
        suite.run([program("ansible-test"), "sanity", "--color", "no"], cwd=paths.COPY, env=env)
    finally:
        noise = re.compile(
            r"^(WARNING: Location|Collecting |Looking in |Processing |Installing collected|Successfully| +\S)|^$"
        )
        suite.output = [
            "".join(line + "\n" for line in text.splitlines() if not noise.match(line)) for text in suite.output
        ]


def seed_get_pip() -> None:
    """Put tools/get_pip.py where ansible-test keeps its download of get-pip, unless it has one."""
    internal = next(paths.venv("main").glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py"))
    version = re.search(r"pip='([\d.]+)'", internal.read_text(encoding="utf-8"))
    if version:
        target = Path.home() / ".ansible/test/cache" / "get_pip_{0}.py".format(version[1].replace(".", "_"))
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((paths.TOOLS / "get_pip.py").read_bytes())


def build(suite: Suite) -> None:
    """ansible-galaxy builds an artifact, and can install it."""
    with tempfile.TemporaryDirectory(prefix="fleet-tls-build-") as folder:
        suite.run([program("ansible-galaxy"), "collection", "build", "--output-path", folder], cwd=paths.COPY)
        artifact = str(next(Path(folder).glob("*.tar.gz")))
        suite.run(
            [
                program("ansible-galaxy"),
                "collection",
                "install",
                "--offline",
                "--force",
                "--collections-path",
                folder,
                artifact,
            ]
        )


def local(suite: Suite) -> None:
    """Tests with real nginx processes on loopback; some with the oldest ansible-core as well."""
    need_nginx()
    venvs.ensure("oldest")
    pytest(suite, "tests/local")


def acme(suite: Suite) -> None:
    """The issuer acme with real ACME and DNS servers on loopback."""
    need_nginx()
    packages.ensure("acme")
    venvs.ensure("acme2certifier")
    pytest(suite, "tests/acme_servers", "main", "-n", "2", "--dist", "loadfile")


def bao(suite: Suite) -> None:
    """The store and the issuer of type openbao, with real servers on loopback."""
    need_nginx()
    venvs.ensure("bao")
    # Most of them wait for leases and elections.
    pytest(suite, "tests/bao", "main", "-n", "2", "--dist", "loadfile")


def report(suite: Suite) -> None:
    """Reports as their readers read them: a browser, promtool, an XML schema, a calendar library."""
    try:
        packages.ensure("report")
    except packages.SetupError as error:
        raise Skipped(str(error).splitlines()[0]) from error
    venvs.ensure("report")
    pytest(suite, "tests/report", "report")


def eda(suite: Suite) -> None:
    """The event source and the rulebook, with the real ansible-rulebook."""
    need_nginx()
    try:
        if java.find_home() is None:
            packages.ensure("eda")
        venvs.ensure("eda")
    except packages.SetupError as error:
        raise Skipped("ansible-rulebook cannot run here: {0}".format(" ".join(str(error).split())[-200:])) from error
    pytest(suite, "tests/eda")


def need_containers(suite: Suite) -> None:
    """Skip without a machine that can run them; build the images that are missing."""
    reason = why_not()
    if reason:
        raise Skipped(reason)
    suite.run(
        [sys.executable, str(paths.ROOT / "tests/fleet/fleet.py"), "images"], ok=(0, 1)
    )  # 1: some release could not be had


def molecule(suite: Suite) -> None:
    """Every Molecule scenario, on four hosts."""
    need_containers(suite)
    MAIN_READY.result()
    state = paths.DEV / "molecule"
    # A run that was killed leaves "created" behind, and the next one would look for its hosts.
    shutil.rmtree(state, ignore_errors=True)
    env = environment(ANSIBLE_COLLECTIONS_PATH=str(paths.COPY_TREE), MOLECULE_EPHEMERAL_DIRECTORY=str(state))
    # Molecule writes a configuration of its own, from extensions/molecule/config.yml.
    del env["ANSIBLE_CONFIG"]
    suite.run([program("molecule"), "test", "--all"], cwd=paths.COPY, env=env)


def fleet(suite: Suite) -> None:
    """pytest on real hosts."""
    need_containers(suite)
    MAIN_READY.result()
    pytest(suite, "tests/fleet")


def storm(suite: Suite) -> None:
    """Everything that can be rotated, under a storm of handshakes on real hosts."""
    need_containers(suite)
    MAIN_READY.result()
    suite.run(
        [program("python"), "-m", "storm"],
        env=environment(PYTHONPATH=str(paths.ROOT / "tests"), FLEET_TLS_COLLECTIONS=str(paths.COLLECTIONS)),
    )


# In this order they are counted and started; the lanes run side by side. Most tests wait more than they compute.
LANES: tuple[dict[str, Callable[[Suite], None]], ...] = (
    {"unit": unit, "unit-2.19": unit_oldest, "lint": lint, "sanity": sanity, "build": build, "local": local},
    {"fleet": fleet, "molecule": molecule},
    {"acme": acme, "bao": bao, "report": report, "eda": eda},
)
# After all others: it counts what a session's lifetime allows, so it must not wait for a processor.
ALONE: dict[str, Callable[[Suite], None]] = {"storm": storm}
MAIN_READY: concurrent.futures.Future[None] = concurrent.futures.Future()
PRINTING = threading.Lock()


def perform(name: str, function: Callable[[Suite], None]) -> str:
    """Run one suite, print its block, and return passed, failed or skipped."""
    suite, start, reason = Suite(name), time.monotonic(), ""
    try:
        if name not in LANES[1] and name not in ALONE:
            MAIN_READY.result()
        function(suite)
        verdict = "passed"
    except Skipped as error:
        verdict, reason = "skipped", ": {0}".format(error)
    except (Failed, packages.SetupError, OSError, subprocess.SubprocessError) as error:
        verdict, reason = "failed", ": {0}".format(error)
    with PRINTING:
        print("==== {0}".format(name))
        print("".join(suite.output), end="")
        print("---- {0} {1} ({2:.0f} s){3}\n".format(name, verdict, time.monotonic() - start, reason), flush=True)
    return verdict


def make_ready() -> None:
    """The collection trees and the main environment, which nearly every suite waits for."""
    try:
        trees.link()
        trees.copy()
        venvs.ensure("main")
        MAIN_READY.set_result(None)
    except BaseException as error:
        MAIN_READY.set_exception(error)
        if not isinstance(error, (packages.SetupError, OSError, subprocess.SubprocessError)):
            raise


def main(names: list[str]) -> int:
    """Run the suites that are named, or all; 1 when one failed."""
    known = [name for lane in (*LANES, ALONE) for name in lane]
    if names == ["--list"]:
        print("\n".join(known))
        return 0
    unknown = sorted(set(names) - set(known))
    if unknown:
        print("unknown suite {0}; there are: {1}".format(", ".join(unknown), ", ".join(known)), file=sys.stderr)
        return 2

    def work(lane: dict[str, Callable[[Suite], None]]) -> list[str]:
        return [perform(name, function) for name, function in lane.items() if not names or name in names]

    with concurrent.futures.ThreadPoolExecutor(len(LANES) + 1) as pool:
        pool.submit(make_ready)
        verdicts = [verdict for future in [pool.submit(work, lane) for lane in LANES] for verdict in future.result()]
    verdicts += work(ALONE)
    print(
        "{0} passed, {1} failed, {2} skipped".format(
            *(verdicts.count(each) for each in ("passed", "failed", "skipped"))
        )
    )
    return 1 if "failed" in verdicts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
