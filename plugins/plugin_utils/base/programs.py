# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the user's on the controller: run without a shell, for a limited time, with limited output."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.masking import masked, one_line, secret_variables

LONGEST_OUTPUT = 256 * 1024
WORDS_KEPT = 500
# Seconds in which what a program left behind may still write after its own end.
AFTERMATH = 1.0
CHUNK = 65536
ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


class ProgramError(TlsError):
    """A program could not be started, took too long, or said too much."""

    code = "program"


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code (negative: the signal that ended it), standard output, and last words."""

    code: int
    output: bytes
    words: str


def run_program(
    arguments: Sequence[str],
    data: bytes,
    environment: Mapping[str, str],
    limit: float,
    secrets: Iterable[str] = (),
) -> Ended:
    """Run a program in a session of its own, which is ended with it: nothing that it started goes on.

    :param data: what it gets on standard input; it need not read it.
    :param environment: all of it.
    :param limit: seconds.
    :param secrets: what its words are told without, besides the variables whose names say that they are secrets.
    :raises ProgramError: it cannot be started, is not done in time, or writes more than ``LONGEST_OUTPUT`` bytes.
    """
    name, secrets = os.path.basename(arguments[0]), (*secrets, *secret_variables(environment))
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "an argument or a variable has a null character"
        raise ProgramError(f"'{name}' cannot be started: {reason}") from None
    try:
        output, errors = Conversation(process, data, time.monotonic() + limit)()
    except TimeoutError as error:
        raise ProgramError(f"'{name}' was not done in {limit:g} s{said(error.args[0], secrets)}") from None
    except OverflowError:
        raise ProgramError(f"'{name}' wrote more than {LONGEST_OUTPUT // 1024} KiB") from None
    finally:
        # Before it is waited for, so its process group cannot have become another one's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
    return Ended(code, output, last_words(errors, secrets))


class Conversation:
    """Standard input, output and error of a process, until it has ended and they are closed.

    :param end: on the monotonic clock.
    """

    def __init__(self, process: subprocess.Popen[bytes], data: bytes, end: float) -> None:
        self.process = process
        self.data = memoryview(data)
        self.end = end
        self.output = bytearray()
        self.errors = bytearray()

    def __call__(self) -> tuple[bytes, bytes]:
        """What it wrote.

        :raises TimeoutError: it has not ended in time; its argument is what came on standard error.
        :raises OverflowError: too much output.
        """
        with selectors.DefaultSelector() as selector:
            for stream, event in (
                (self.process.stdin, selectors.EVENT_WRITE),
                (self.process.stdout, selectors.EVENT_READ),
                (self.process.stderr, selectors.EVENT_READ),
            ):
                os.set_blocking(stream.fileno(), False)  # type: ignore[union-attr]
                selector.register(stream, event)  # type: ignore[arg-type]
            while not self.is_over(selector):
                if time.monotonic() >= self.end:
                    if has_ended(self.process):
                        break
                    raise TimeoutError(bytes(self.errors))
                for key, _events in selector.select(min(max(self.end - time.monotonic(), 0.0), 0.2)):
                    if not self.serve(key.fileobj):
                        selector.unregister(key.fileobj)
        return bytes(self.output), bytes(self.errors)

    def is_over(self, selector: selectors.BaseSelector) -> bool:
        """Whether it has ended. What it left behind may hold its streams open: it is not waited for long."""
        if not has_ended(self.process):
            return False
        reading = {key.fileobj for key in selector.get_map().values()} & {self.process.stdout, self.process.stderr}
        self.end = min(self.end, time.monotonic() + AFTERMATH)
        return not reading

    def serve(self, stream: object) -> bool:
        """Write to or read from a stream that is ready; whether it is still open."""
        if stream is self.process.stdin:
            return self.write()
        chunk = os.read(stream.fileno(), CHUNK)  # type: ignore[attr-defined]
        if stream is self.process.stdout:
            self.output += chunk
            if len(self.output) > LONGEST_OUTPUT:
                raise OverflowError
        else:
            self.errors = (self.errors + chunk)[-CHUNK:]
        return bool(chunk)

    def write(self) -> bool:
        """Some more of the input; whether there is any left."""
        try:
            self.data = self.data[os.write(self.process.stdin.fileno(), self.data[:CHUNK]) :]  # type: ignore[union-attr]
        except OSError:
            # It reads no further, which is its own business.
            self.data = self.data[:0]
        if not self.data:
            with contextlib.suppress(OSError):
                self.process.stdin.close()  # type: ignore[union-attr]
        return bool(self.data)


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has, without taking its exit code: its process id stays its own."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def last_words(errors: bytes, secrets: Iterable[str]) -> str:
    """The end of what was said on standard error, as one line that plays no tricks on a terminal and tells no secret."""
    # Before it is cut: half a secret is not found.
    text = masked(one_line(ESCAPE_SEQUENCE.sub("", errors.decode(errors="replace"))), secrets)
    return text if len(text) <= WORDS_KEPT else f"…{text[-WORDS_KEPT:]}"


def said(errors: bytes, secrets: Iterable[str]) -> str:
    """The last words at the end of a message."""
    words = last_words(errors, secrets)
    return f"; it said: {words}" if words else ""
