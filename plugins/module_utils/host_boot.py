# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that runs one step on a host, when it comes through a pipe: Python is started with this text, and the rest is read from the input.

Ansible's own way of packing a module brings AnsibleModule and unpacks an archive to disk, which together cost a host several times what a
look does. ``plugin_utils/parcel.py`` is the other end, and writes what :func:`run` reads. This text has no module around it when it runs:
it must import nothing of the collection at its top.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import zlib
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, BinaryIO


class Parcel:
    """Finds and loads the modules that came along.

    :param sources: full name of a module → its source; of a package → null.
    """

    def __init__(self, sources: dict[str, str | None]) -> None:
        self.sources = sources

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """As ``importlib.abc.MetaPathFinder`` has it."""
        if name not in self.sources:
            return None
        return ModuleSpec(name, self, origin=name, is_package=self.sources[name] is None)  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        """As ``importlib.abc.Loader`` has it: an ordinary module will do."""

    def exec_module(self, module: ModuleType) -> None:
        """As ``importlib.abc.Loader`` has it."""
        source = self.sources[module.__name__]
        if source is not None:
            exec(compile(source, module.__name__, "exec"), module.__dict__)  # pylint: disable=exec-used

    def get_source(self, name: str) -> str | None:
        """As ``importlib.abc.InspectLoader`` has it; tracebacks show lines with it."""
        return self.sources.get(name)


def run(stream: BinaryIO) -> int:
    """Run one step and write its answer, or its traceback, as one line of JSON; the exit status, 0 or 1.

    :param stream: the size in bytes of the sources, a line feed; the sources, JSON, compressed by zlib; then, to its end, JSON:
        ``{"module", "step", "request", "secrets", "seconds"}``.
    """
    try:
        os.getcwd()
    except OSError:  # another user's home, after a change of users
        os.chdir("/")
    try:
        size = int(stream.readline())
        sources = json.loads(zlib.decompress(stream.read(size)))
        arguments = json.loads(stream.read())
        sys.meta_path.insert(0, Parcel(sources))  # type: ignore[arg-type]
        from ansible_collections.fleet.tls.plugins.module_utils.host_module import answer_of

        steps = __import__(arguments["module"], fromlist=["STEPS"]).STEPS
        result = answer_of(steps, arguments["step"], arguments["request"], arguments["secrets"], arguments["seconds"])
    except Exception:  # pylint: disable=broad-except
        result = {"failed": True, "exception": traceback.format_exc()}
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if "failed" in result else 0
