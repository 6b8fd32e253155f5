# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An internal module with all that it imports, as one text for the input of a host's Python; ``module_utils/host_boot.py`` is the other end."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = "ansible_collections.fleet.tls.plugins"
PLUGINS = Path(__file__).resolve().parents[2]
BOOT = "module_utils.host_boot"
# Reads as Python of any age, and takes just so much of the input as is a program; what follows are its data. One line, as csh has no other
# quoting. Files of the working directory must not be taken for modules of the standard library, and "__future__" is one.
PROGRAM = "; ".join(
    (
        "import sys",
        "sys.path[:] = [place for place in sys.path if place not in ('', '.')]",
        "sys.version_info >= (3, 9) or sys.exit('Python 3.9 or newer is needed, and %s is %s' % (sys.executable, sys.version.split()[0]))",
        "exec(sys.stdin.buffer.read({size}))",
    )
)
# The two forms in which the code for hosts imports its own, at the top of a file or late; a test compares this with what Python finds.
IMPORT = re.compile(
    r"^ *from ansible_collections\.fleet\.tls\.plugins\.module_utils(?:\.([\w.]+))? import (\([^)]*\)|.*)$",
    re.MULTILINE,
)
COMMENT = re.compile("#.*")
# Of zlib: two more make it 6 % smaller, and cost each run twice the time.
LEVEL = 4


class Parcel(NamedTuple):
    """What one start of Python takes.

    :param program: for ``python -c``; holds nothing of the request, as everybody on the host can see it.
    :param input: for the standard input.
    """

    program: str
    input: bytes


def parcel(
    module: str, step: str, request: Mapping[str, Any], secrets: Mapping[str, str], seconds: float | None = None
) -> Parcel:
    """One step, ready for the way.

    :param module: the leaf of its name, such as ``host_look``.
    :param seconds: that it may take; None: as long as it takes.
    """
    name = f"{PACKAGE}.modules.{module}"
    arguments = {"module": name, "step": step, "request": request, "secrets": secrets, "seconds": seconds}
    boot = boot_program()
    sources = sources_of(module)
    return Parcel(
        program=PROGRAM.replace("{size}", str(len(boot))),
        input=b"".join((boot, b"%d\n" % len(sources), sources, json.dumps(arguments).encode())),
    )


def pack(module: str) -> None:
    """Have everything but the request ready for a module, before Ansible forks."""
    boot_program()
    sources_of(module)


def parse_answer(output: str) -> Mapping[str, Any] | None:
    """What a step wrote, ``{"changed": bool, "answer": {...}}`` or ``{"failed": true, "exception": text}``, else None.

    Login banners may stand around it.
    """
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            try:
                result = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(result, dict) and (isinstance(result.get("answer"), dict) or result.get("failed") is True):
                return result
    return None


@cache
def boot_program() -> bytes:
    """What reads the rest of the input, and runs it."""
    return source(BOOT).encode() + b"\nsys.exit(run(sys.stdin.buffer))\n"


@cache
def sources_of(module: str) -> bytes:
    """A module and all that it imports, compressed: full name → source, or null for a package."""
    sources: dict[str, str | None] = {}
    wanted = [f"modules.{module}"]
    while wanted:
        name = wanted.pop()
        if f"{PACKAGE}.{name}" not in sources:
            sources[f"{PACKAGE}.{name}"] = source(name)
            wanted += [f"module_utils.{imported}" for imported in imported_by(name)]
    parts = PACKAGE.split(".")
    for name in [*sources, ".".join([*parts, "module_utils", "any"])]:
        above = name.split(".")[:-1]
        sources.update(dict.fromkeys(".".join(above[: end + 1]) for end in range(len(above))))
    return zlib.compress(json.dumps(sources).encode(), LEVEL)


@cache
def imported_by(name: str) -> list[str]:
    """Those of our modules that one imports, by their names below ``module_utils``."""
    names = []
    for module, objects in IMPORT.findall(source(name)):
        if PLUGINS.joinpath("module_utils", *module.split(".")).is_dir():
            prefix = f"{module}." if module else ""
            listed = COMMENT.sub("", objects).strip("()").split(",")
            names += [prefix + part.split()[0] for part in listed if part.strip()]
        else:
            names.append(module)
    return names


@cache
def source(name: str) -> str:
    """The source of one of our files, by its name below ``plugins``."""
    return PLUGINS.joinpath(*name.split(".")).with_suffix(".py").read_text(encoding="utf-8")
