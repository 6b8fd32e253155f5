# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The suites of ./dev test that read the collection instead of running it: lint, sanity, build. Standard library only."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

from tools import packages, paths, venvs
from tools import site as documentation
from tools.running import Failed, Run, program, tool_environment

# A version that no release has, who makes it, and what galaxy-importer says where it does not like something.
TRIED = "999.0.0"
COMMITTER = {f"GIT_{who}_{what}": "nobody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
FINDING = re.compile(rb"^(?:WARNING|ERROR).*$", re.MULTILINE)
# What ansible-test says of its environments while it makes them.
NOISE = re.compile(
    rb"^(WARNING: Location|Collecting |Looking in |Processing |Installing collected|Successfully| +\S).*\n|^\n",
    re.MULTILINE,
)


def lint(run: Run) -> None:
    """ansible-lint (yamllint within), ruff, mypy, shellcheck, changelog and documentation; all speak before the verdict."""
    env = tool_environment(ANSIBLE_LINT_NODEPS="1")
    del env["ANSIBLE_CONFIG"]  # the collection has to be right under anybody's
    shell = sorted((paths.ROOT / "tests").rglob("*.sh"))
    scripts = ["dev", ".ci/run", *(str(each.relative_to(paths.ROOT)) for each in shell)]
    typed = [
        each for each in ("plugins/module_utils", "plugins/plugin_utils") if any((paths.COPY / each).rglob("*.py"))
    ]
    modules = ["--package=ansible_collections.fleet.tls." + each.replace("/", ".") for each in typed]
    settings = ["--config-file", str(paths.ROOT / "mypy.ini"), "--cache-dir", str(paths.DEV / "mypy_cache")]
    commands = [
        ([packages.find("shellcheck") or "shellcheck", *scripts], paths.ROOT),
        ([program("ruff"), "check", "--output-format=concise"], paths.ROOT),
        ([program("ruff"), "format", "--check", "--output-format=concise"], paths.ROOT),
        ([program("mypy"), *settings, *modules], paths.COPY_TREE),
        ([program("ansible-lint"), "--offline", "--strict", "--format=pep8"], paths.COPY),
        ([program("antsibull-changelog"), "lint"], paths.COPY),
        ([program("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "."], paths.COPY),
    ]
    problems = []
    for command, folder in commands:
        try:
            run.run(command, cwd=folder, env=env)
        except Failed as error:
            problems.append(str(error))
    if problems:
        raise Failed("; ".join(problems))


def sanity(run: Run) -> None:
    """ansible-test sanity, in the copy, on every interpreter of a managed host that is here, and on our own."""
    env = tool_environment()
    env["PATH"] = os.pathsep.join([str(venvs.targets()), env["PATH"]])
    seed_get_pip()
    try:
        run.run([program("ansible-test"), "sanity", "--color", "no"], cwd=paths.COPY, env=env)
    finally:
        run.log.write_bytes(NOISE.sub(b"", run.log.read_bytes()))


def seed_get_pip() -> None:
    """Put tools/get_pip.py where ansible-test keeps its download of get-pip, unless it has one."""
    internal = next(paths.venv("main").glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py"))
    version = re.search(r"pip='([\d.]+)'", internal.read_text(encoding="utf-8"))
    if version:
        target = paths.HOME / ".ansible/test/cache" / "get_pip_{0}.py".format(version[1].replace(".", "_"))
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((paths.TOOLS / "get_pip.py").read_bytes())


def build(run: Run) -> None:
    """A release of what is committed, made twice in clones: the same bytes, and Galaxy's importer and ansible-galaxy take them. And the site."""
    galaxy = [program("ansible-galaxy"), "collection", "install", "--offline", "--force"]
    with tempfile.TemporaryDirectory(prefix="fleet-tls-build-") as folder:
        clone = Path(folder) / "clone"
        run.run(["git", "clone", "--quiet", "--local", str(paths.ROOT), str(clone)], name="clone")
        tool = [sys.executable, str(paths.TOOLS / "release.py"), "--root", str(clone), TRIED]
        run.run(tool, name="release", env=tool_environment(**COMMITTER))
        (artifact,) = (clone / ".dev" / "release").glob("*.tar.gz")
        first = artifact.read_bytes()
        run.run([*tool, "--build"], name="build again")
        if artifact.read_bytes() != first:
            raise Failed("two builds of one tag differ")
        run.run([*galaxy, "--collections-path", folder, str(artifact)], name="install", env=tool_environment())
        import_artifact(run, artifact)
    documentation.build(run)


def import_artifact(run: Run, artifact: Path) -> None:
    """What Galaxy and Automation Hub would say of it. ansible-lint, which they run too, is the suite lint's."""
    env = tool_environment(GALAXY_IMPORTER_RUN_ANSIBLE_LINT="false", GALAXY_IMPORTER_CHECK_REQUIRED_TAGS="true")
    env["PATH"] = os.pathsep.join([str(paths.venv("importer") / "bin"), env["PATH"]])
    command = [program("python", "importer"), "-m", "galaxy_importer.main", str(artifact)]
    start = run.log.stat().st_size
    run.run(command, name="importer", cwd=artifact.parent, env=env)
    found = FINDING.findall(run.log.read_bytes()[start:])
    if found:
        raise Failed("galaxy-importer: " + b"; ".join(found).decode(errors="replace")[:400])
