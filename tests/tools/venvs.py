# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments of the tests: which interpreter, what is in them, and whether they are still fresh."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools import packages, paths

# environment -> minor versions of Python 3 that its ansible-core runs on, best first
VERSIONS = {
    "main": (14, 13, 12, 11),
    # As for "system": the demo is to be quick.
    "demo": (11, 12, 13, 14),
    "bench": (14, 13, 12, 11),
    # The lowest Python too, where it is there.
    "lowest": (11, 12, 13),
    # The same, with the newest of all else that it takes.
    "system": (11, 12, 13),
    "host": (9,),
    "sslyze": (13, 12, 11),
    "bao": (14, 13, 12, 11),
    "acme2certifier": (13, 12, 11),
    # That of "system", whose tests load what is built there.
    "kerberos": (11, 12, 13),
    "report": (14, 13, 12, 11),
    "eda": (13, 12, 11),
    "mitogen": (14, 13, 12, 11),
    "certbot": (13, 12, 11),
    "awx": (12, 13, 14),
    "importer": (13, 12, 11),
    # The system's own computes twice as fast.
    "site": (11, 12, 13, 14),
}
# environment -> requirement layers, in the order they are installed
LAYERS = {
    "main": ("core", "test"),
    "demo": ("core",),
    "bench": ("bench",),
    "lowest": ("lowest",),
    "system": ("system", "keys"),
    "host": ("host",),
    "sslyze": ("sslyze",),
    "bao": ("bao",),
    "acme2certifier": ("acme2certifier",),
    "kerberos": ("kerberos",),
    "report": ("report",),
    "eda": ("eda",),
    "mitogen": ("mitogen",),
    "certbot": ("certbot",),
    "awx": ("awx",),
    "importer": ("importer",),
    "site": ("site",),
}


class NoPython(packages.SetupError):
    """No interpreter of a version that an environment needs is here, and none may be installed."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that answers."""

    path: str
    minor: int
    has_pip: bool  # Debian ships venv and ensurepip apart from the interpreter


def _folders() -> list[str]:
    """Where interpreters live; pyenv's own folders because its shims answer only for the chosen versions.

    The system's come first: distributions build theirs with all optimisations, and pyenv by default does not (a loop takes 1.4 to 1.8 times
    as long).
    """
    home = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    found = ["/usr/bin", *without_shims(os.environ.get("PATH", os.defpath)).split(os.pathsep), "/usr/local/bin"]
    return found + sorted(glob.glob(home + "/versions/*/bin")) + sorted(glob.glob("/opt/python*/bin"))


def without_shims(path: str) -> str:
    """A PATH less pyenv's shims: one stands there for each version, and most answer "command not found"."""
    return os.pathsep.join(each for each in path.split(os.pathsep) if not each.rstrip("/").endswith("/shims"))


def _ask(path: str) -> Interpreter | None:
    code = "import sys, importlib.util as u; print(sys.version_info[1], bool(u.find_spec('ensurepip') and u.find_spec('venv')))"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([path, "-I", "-c", code], capture_output=True, text=True, timeout=20, check=False)
        match = re.fullmatch(r"(\d+) (True|False)\s*", done.stdout)
        if done.returncode == 0 and match:
            return Interpreter(path, int(match[1]), match[2] == "True")
    return None


def candidates(minors: tuple[int, ...]) -> Iterator[Interpreter]:
    """Interpreters that answer, best version first."""
    for minor in minors:
        for folder in _folders():
            path = os.path.join(folder, "python3.{0}".format(minor))
            if os.access(path, os.X_OK):
                found = _ask(path)
                if found and found.minor == minor:
                    yield found


def targets() -> Path:
    """A folder with the interpreters that only managed hosts have (3.9 to 3.11), for ansible-test to compile and import with.

    Versions that could be a controller stay away: ansible-test would set up each of them as one.
    """
    folder = paths.DEV / "python"
    folder.mkdir(parents=True, exist_ok=True)
    for minor in (9, 10, 11):
        link = folder / "python3.{0}".format(minor)
        if not link.exists():
            link.unlink(missing_ok=True)
            found = next((each for each in candidates((minor,)) if each.has_pip), None)
            if found:
                link.symlink_to(found.path)
    return folder


def choose(name: str) -> Interpreter:
    """The interpreter for an environment; installs Debian's venv package, or an interpreter, when there is no other way."""
    bare: list[Interpreter] = []
    for found in candidates(VERSIONS[name]):
        if found.has_pip:
            return found
        bare.append(found)
    if bare:
        packages.install(["python3.{0}-venv".format(bare[0].minor)])
        return bare[0]
    for minor in VERSIONS[name]:
        version = "python3.{0}".format(minor)
        policy = (
            subprocess.run(["apt-cache", "policy", version], capture_output=True, text=True, check=False)
            if shutil.which("apt-cache")
            else None
        )
        if policy and re.search(r"Candidate: \d", policy.stdout):
            packages.install([version, version + "-venv"])
            return Interpreter("/usr/bin/" + version, minor, True)
    oldest, newest = VERSIONS[name][-1], VERSIONS[name][0]
    if newest > oldest:
        packages.install(["python3", "python3-venv"])
    installed = next(candidates(VERSIONS[name]), None)
    if installed is None:
        wanted = "3.{0} to 3.{1}".format(oldest, newest) if newest > oldest else "3.{0}".format(oldest)
        raise NoPython("no Python {0} here; install one (e.g. with pyenv) and put it on PATH".format(wanted))
    return installed


def ensure(name: str, layer: str | None = None) -> Path:
    """Make the environment ready up to ``layer`` (default: all of it) and return its folder. Costs nothing when it is."""
    folder = paths.venv(name)
    layers = LAYERS[name][: LAYERS[name].index(layer) + 1 if layer else None]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_suffix(".lock")):
        stale = [each for each in layers if not _fresh(folder, each)]
        if not stale:
            return folder
        if not (folder / "bin" / "python").exists() or _ask(str(folder / "bin" / "python")) is None:
            interpreter = choose(name)
            print("making {0} with {1}".format(folder.name, interpreter.path), file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            _run([interpreter.path, "-m", "venv", str(folder)])
        for each in stale:
            print("installing {0}.txt into {1}".format(each, folder.name), file=sys.stderr)
            # Earlier layers go along as constraints of a sort, so that a later one cannot take ansible-core back.
            files = [
                arg
                for one in layers[: layers.index(each) + 1]
                for arg in ("-r", str(paths.REQUIREMENTS / (one + ".txt")))
            ]
            _run(
                [
                    str(folder / "bin" / "python"),
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    *files,
                ]
            )
            _stamp(folder, each).write_text(_digest(folder, each), encoding="ascii")
    return folder


def _fresh(folder: Path, layer: str) -> bool:
    stamp = _stamp(folder, layer)
    return (
        stamp.exists()
        and (folder / "bin" / "python").exists()
        and stamp.read_text(encoding="ascii") == _digest(folder, layer)
    )


def _stamp(folder: Path, layer: str) -> Path:
    return folder / ".fresh-{0}".format(layer)


def _digest(folder: Path, layer: str) -> str:
    """Requirements and interpreter: a change of either makes the environment stale."""
    interpreter = os.path.realpath(folder / "bin" / "python")
    text = (paths.REQUIREMENTS / (layer + ".txt")).read_text(encoding="utf-8") + interpreter + os.path.realpath(folder)
    return hashlib.sha256(text.encode()).hexdigest()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise packages.SetupError("{0} failed:\n{1}".format(" ".join(command), (done.stdout + done.stderr)[-3000:]))


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Two ./dev at once wait for each other instead of installing into one folder."""
    with path.open("w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
