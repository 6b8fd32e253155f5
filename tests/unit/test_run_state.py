# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of our modules make something at their import that is one run's own: the tests' fork server must leave them to each run."""

from __future__ import annotations

import json
import subprocess
import sys

from tools import paths
from tools.fork_server import OURS, RUN_STATE

# Imports all of them, and writes which were being imported when something asked for what is a process's, a moment's or an environment's.
WATCH = """
import contextlib, importlib, json, os, sys
from ansible.plugins.loader import init_plugin_loader
from tools import fork_server

OWN = set("getpid getppid getcwd getuid geteuid gethostname urandom time time_ns monotonic monotonic_ns localtime open dup pipe "
          "socketpair mkdir register".split())
READ = {type(os.environ).__getitem__.__code__, type(os.environ).__iter__.__code__}
found = set()

def watch(frame, event, what):
    if event == "c_call" and what.__name__ in OWN and getattr(what, "__module__", "") in ("posix", "time", "_socket", "atexit"):
        asked(frame)
    elif event == "call" and frame.f_code in READ:
        asked(frame.f_back)

def asked(frame):
    while frame and frame.f_code.co_name != "<module>":
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return
        frame = frame.f_back
    if frame and frame.f_globals["__name__"].startswith(fork_server.OURS):
        found.add(frame.f_globals["__name__"])

init_plugin_loader()
names = list(fork_server.names_of_ours())
sys.setprofile(watch)
for name in names:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
sys.setprofile(None)
print(json.dumps([len(names), sorted(found)]))
"""


def test_the_fork_server_knows_all_of_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(paths.ROOT / 'tests')!r})\n{WATCH}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    number, found = json.loads(done.stdout)
    assert number > 200 and found == sorted(OURS + name for name in RUN_STATE)
