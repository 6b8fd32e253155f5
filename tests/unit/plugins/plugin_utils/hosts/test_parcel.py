# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A step through a pipe: all its code comes along, nothing of the host's gets in between, and what goes wrong is said without what is secret."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.hosts import parcel as parcels
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.parcel import (
    PACKAGE,
    Parcel,
    parcel,
    parse_answer,
    sources_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.steps import MODULE_OF, MODULES

LEAVES = sorted(module.rpartition(".")[2] for module in MODULES)
SECRET = "a-secret-that-nobody-sees"


def start(sent: Parcel, python: str = sys.executable, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run it as a connection does."""
    return subprocess.run(
        [python, "-c", sent.program], input=sent.input, capture_output=True, timeout=60, check=False, **options
    )


def look(folder: Path) -> Parcel:
    """A step that answers on any host."""
    return parcel("host_look", "facts", {"directory": str(folder)}, {})


def imported(name: str) -> set[str]:
    """What a file of ours imports of ours, by Python's own understanding of it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(parcels.source(name))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            place = (node.module or "").removeprefix(PACKAGE + ".")
            package = parcels.PLUGINS.joinpath(*place.split(".")).is_dir()
            found |= {f"{place}.{each.name}" for each in node.names} if package else {place}
        elif isinstance(node, ast.Import):
            assert not [each.name for each in node.names if each.name.startswith(PACKAGE)]
    return found


@pytest.mark.parametrize("module", LEAVES)
def test_all_that_is_imported_comes_along_and_nothing_else(module: str) -> None:
    wanted, waiting = set[str](), {f"modules.{module}"}
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting |= imported(name) - wanted
    sources = json.loads(zlib.decompress(sources_of(module)))
    assert {name.removeprefix(PACKAGE + ".") for name, text in sources.items() if text is not None} == wanted
    packages = {name for name, text in sources.items() if text is None}
    assert {name.rpartition(".")[0] for name in sources} - {""} == packages


@pytest.mark.parametrize("action", sorted(parcels.PLUGINS.joinpath("action").glob("*.py")), ids=lambda path: path.stem)
def test_what_an_action_sends_is_packed_before_ansible_forks(action: Path) -> None:
    asked = re.findall(r"self\.(?:step|answers)\(\s*\"(\w+)\"", action.read_text())
    loaded = importlib.import_module(f"{PACKAGE}.action.{action.stem}").ActionModule
    assert set(asked) == set(loaded.STEPS)
    before = sources_of.cache_info().misses
    for step in asked:
        sources_of(MODULE_OF[step].rpartition(".")[2])
    assert sources_of.cache_info().misses == before


def test_files_of_the_working_directory_are_not_imported(tmp_path: Path) -> None:
    for name in ("__future__.py", "json.py", "zlib.py", "traceback.py", "ssl.py", "typing.py"):
        (tmp_path / name).write_text("raise SystemExit('taken from the working directory')\n")
    done = start(look(tmp_path / "tls"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert parse_answer(done.stdout.decode())


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    done = start(look(tmp_path / "tls"), cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0 and list(tmp_path.iterdir()) == []


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    sent = look(tmp_path / "tls")
    command = ["sh", "-c", script, "sh", str(gone), sys.executable, "-c", sent.program]
    done = subprocess.run(command, input=sent.input, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0 and parse_answer(done.stdout.decode()), done.stderr


def test_a_crash_shows_where_and_no_secret() -> None:
    sent = parcel("host_apply", "apply", {"surprising": SECRET}, {"www": SECRET})
    assert SECRET not in sent.program
    done = start(sent)
    told = parse_answer(done.stdout.decode())
    assert told and done.returncode == 1 and told["failed"] is True
    # The line itself is shown, although it is in no file of the host.
    assert (
        re.search(r'module_utils\.[\w.]+", line \d+, in \w+\n +\S', told["exception"])
        and "KeyError" in told["exception"]
    )
    assert SECRET not in done.stdout.decode() + done.stderr.decode()


def test_an_input_that_ends_early_is_no_answer() -> None:
    sent = look(Path("/nonexistent"))
    done = start(sent._replace(input=sent.input[: len(sent.input) // 2]))
    told = parse_answer(done.stdout.decode())
    assert done.returncode == 1 and told and told["failed"] and "answer" not in told


def test_the_program_is_one_line_for_any_shell() -> None:
    """csh has no quotes around line feeds, and "!" is its history."""
    program = look(Path("/nonexistent")).program
    assert not set("\n!`$") & set(program)


def test_an_old_python_says_so() -> None:
    """A Python 3.8 where there is one; that the text reads as any Python's is seen by the check alone."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    old = next((str(each) for each in sorted(pyenv.glob("3.[678]*/bin/python3"))), shutil.which("python3.8"))
    if old:
        done = start(look(Path("/nonexistent")), python=old)
        assert done.returncode == 1 and re.match(rb"Python 3.9 or newer is needed, and \S+ is 3\.", done.stderr)
    younger = parcel("host_look", "facts", {}, {}).program.replace("(3, 9)", "(9, 9)")
    done = subprocess.run([sys.executable, "-c", younger], input=b"", capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and b"or newer is needed" in done.stderr


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ('{"changed": true, "answer": {"a": 1}}\n', {"changed": True, "answer": {"a": 1}}),
        ('Welcome!\n{"changed": false, "answer": {}}\n', {"changed": False, "answer": {}}),
        ('{motd}\n{"changed": false, "answer": {}}\nGoodbye {you}\n', {"changed": False, "answer": {}}),
        ("", None),
        ("Welcome!\n", None),
        ('{"answer": 3}\n', None),
        ('["answer"]\n', None),
        ('{"changed": true, "answ', None),
        ('{"answer":' * 100_000, None),
        ('{"failed": true, "exception": "x"}\n', {"failed": True, "exception": "x"}),
        ('{"failed": 1}\n', None),
    ],
)
def test_answers(output: str, answer: Any) -> None:
    assert parse_answer(output) == answer
