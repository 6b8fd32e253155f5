# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of a host: found where root has them, run without a shell, their last words kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError

# It ends what would never end. A healthy service's reload with thousands of certificates, or the merging of the trust store on a busy
# host, takes more than a minute.
COMMAND_SECONDS = 300.0
WORDS_KEPT = 1500
# What to do about a command that ran and failed.
REMEDIES = {
    "validate": "correct what it complains about, then run again",
    "reload": "find out why with the service's own log, then run again",
    "start": "find out why with the service's own log, then run again",
}
SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """PATH with the directories of root's programs, which sudo and ssh often leave out."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_PATH])


def find_program(name: str) -> str | None:
    """Path of a program of this host, None: there is none."""
    return shutil.which(name, path=search_path())


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program of this host is run with.

    :param variables: its own; its language stays ours.
    """
    return {**os.environ, "PATH": search_path(), **(variables or {}), "LC_ALL": "C"}


def ask(command: Sequence[str], variables: Mapping[str, str] | None = None) -> tuple[int | None, str, str]:
    """A program that only shows something: its exit status, standard output and standard error; None: it cannot be run."""
    program = find_program(command[0])
    if program is None:
        return None, "", ""
    try:
        ended = subprocess.run(  # pylint: disable=ansible-bad-function
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(variables),
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None, "", ""
    return ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")


def output_of(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """The standard output of such a program; empty where it cannot be run or fails."""
    status, shown, _said = ask(command, variables)
    return shown if status == 0 else ""


def run(command: Sequence[str], what: str, variables: Mapping[str, str] | None = None) -> None:
    """Run a command of a service, no shell, no input. Without AnsibleModule, so that it runs in a test as it is.

    :param variables: as for :func:`environment`.
    :raises StepError: ``<what>_failed`` with the command's own last words.
    """
    program = find_program(command[0])
    shown = " ".join(command)
    if program is None:
        raise StepError(
            what + "_failed",
            f"'{shown}': there is no program '{command[0]}'",
            "install it or correct the command",
        )
    try:
        # Not a pipe: what the command starts may go on holding it (a daemon does), and its end would never be seen.
        with os.fdopen(os.memfd_create("output"), "w+b") as output:
            ended = subprocess.run(  # pylint: disable=ansible-bad-function
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(variables),
                timeout=COMMAND_SECONDS,
                check=False,
            )
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - WORDS_KEPT))
            words = output.read().decode(errors="replace").strip()
    except subprocess.TimeoutExpired:
        raise StepError(
            what + "_failed",
            f"'{shown}' did not end within {COMMAND_SECONDS:g} s",
            "find out what it waits for, then run again",
        ) from None
    except OSError as error:
        raise StepError(what + "_failed", f"'{shown}': {error.strerror}", "correct the command") from error
    if ended.returncode != 0:
        raise StepError(
            what + "_failed",
            f"'{shown}' ended with {ended.returncode}: {words or '(it said nothing)'}",
            REMEDIES.get(what, ""),
        )
