# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook started warm: forked from a process that has imported ansible-core (tools/fork_server.py). Standard library only.

That saves half a second of processor time in each run. What a test has of it is a ``subprocess.Popen``.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("fork_server.py")
# Variables that differ from run to run; nothing reads them while it is imported.
PASSING = ("FLEET_TLS_RESULTS", "PYTEST_CURRENT_TEST")
# The environment variable with which all runs are started from nothing.
COLD = "FLEET_TLS_COLD"
# Seconds until a server that says nothing is taken for broken.
WAIT = 300.0


def lasting(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment less what is one run's own."""
    return {key: value for key, value in environment.items() if key not in PASSING}


AT_START = lasting(os.environ)


def is_possible() -> bool:
    """Whether runs may be forked: in pytest, as long as the environment is that of its start. Ansible reads it while it is imported."""
    return "pytest" in sys.modules and not os.environ.get(COLD) and lasting(os.environ) == AT_START


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """``subprocess.Popen`` of an ansible-playbook that a server forks; if that fails, it is started as any other.

    Process id, session, streams, working folder and environment are as they are asked for, and signals do what they do to any process.
    But it is a child of the server's, and /proc shows the server's command line and first environment. A test that looks at these, or
    at the start itself, uses ``subprocess``.
    """

    _answers: socket.socket | None = None

    # subprocess has no door for this. The arguments are the same in all Pythons since 3.11.
    def _execute_child(self, args: Any, *rest: Any) -> None:
        try:
            self._fork(args, *rest)
        except (OSError, TypeError, ValueError) as error:
            warnings.warn(f"ansible-playbook could not be started warm: {error!r}", stacklevel=4)
            if self._answers:
                self._answers.close()
                self._answers = None
            super()._execute_child(args, *rest)  # type: ignore[misc]

    def _fork(
        self, args: Sequence[str], _executable: Any, _preexec_fn: Any, _close_fds: Any, _pass_fds: Any, cwd: Any, env: Any,
        _startupinfo: Any, _creationflags: Any, _shell: Any, p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int,
        errread: int, errwrite: int, _restore_signals: Any, _gid: Any, _gids: Any, _uid: Any, _umask: int,
        start_new_session: bool, _process_group: int,
    ) -> None:  # fmt: skip
        request = {
            "argv": list(args),
            "env": dict(env),
            "cwd": os.path.abspath(cwd or "."),
            "umask": umask(),
            "session": start_new_session,
        }
        streams = [number if given == -1 else given for number, given in enumerate((p2cread, c2pwrite, errwrite))]
        self._answers, theirs = socket.socketpair()
        self._answers.settimeout(WAIT)
        with theirs:
            server_for(args[0], lasting(env)).ask(request, [*streams, theirs.fileno()])
        said = self._line()
        if not said.startswith("+"):
            raise OSError("its server has ended" if not said else "its process has ended")
        # It waits for this: a run that nobody waited for would be a second one.
        self._answers.sendall(b"+")
        self.pid = int(said)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _line(self) -> str:
        """The next line of the answers; empty when none follows."""
        line = b""
        while self._answers and not line.endswith(b"\n"):
            part = self._answers.recv(1)
            if not part:
                return ""
            line += part
        return line.decode()

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """As ``waitpid``."""
        if not self._answers:
            return super()._try_wait(wait_flags)  # type: ignore[misc,no-any-return]
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        if not poll.poll(0 if wait_flags & os.WNOHANG else None):
            return 0, 0
        status = self._line()
        self._answers.close()
        if not status:
            raise RuntimeError(f"how the run {self.pid} ended is not known: its server ended first")
        return self.pid, int(status.lstrip("="))

    def _internal_poll(self, *args: Any, **options: Any) -> int | None:
        if not self._answers:
            return super()._internal_poll(*args, **options)  # type: ignore[misc,no-any-return]
        lock = self._waitpid_lock  # type: ignore[attr-defined]
        if self.returncode is None and lock.acquire(False):
            try:
                pid, status = self._try_wait(os.WNOHANG) if self.returncode is None else (0, 0)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                lock.release()
        return self.returncode


def umask() -> int:
    """This process's own. ``os.umask`` tells it by changing it, which other threads would see."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"^Umask:\s*([0-7]+)$", status, re.MULTILINE)[0], 8)


class Server:
    """A server for the runs of one program in one environment. It ends when the process ends that has started it, however that ends."""

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [str(Path(program).with_name("python")), str(SERVER), program],
                env=dict(environment),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        atexit.register(self.end)

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Have a run started; the last descriptor is where its process id and its status (as of ``waitpid``) are sent."""
        socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)

    def end(self) -> None:
        """End it; runs go on. Not by the socket alone, of which a fork of this process may have a copy."""
        self._requests.close()
        self._process.terminate()
        self._process.wait()


_servers: dict[tuple[str, frozenset[tuple[str, str]]], Server] = {}
_lock = threading.Lock()


def server_for(program: str, environment: Mapping[str, str]) -> Server:
    """The server of this program and environment; started when it is asked for first."""
    key = program, frozenset(environment.items())
    with _lock:
        if key not in _servers:
            _servers[key] = Server(program, environment)
        return _servers[key]
