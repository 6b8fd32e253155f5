# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.programs import (
    LONGEST_OUTPUT,
    WORDS_KEPT,
    ProgramError,
    last_words,
    run_program,
)

PYTHON = sys.executable
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def python(code: str, data: bytes = b"", limit: float = 60, **environment: str) -> tuple[int, bytes, str]:
    ended = run_program([PYTHON, "-c", code], data, {**ENVIRONMENT, **environment}, limit)
    return ended.code, ended.output, ended.words


def test_input_output_code_and_words() -> None:
    code = "import os, sys; sys.stdout.write(sys.stdin.read().upper()); print(os.environ['WHO'], file=sys.stderr); sys.exit(3)"
    assert python(code, b"a csr", WHO="me") == (3, b"A CSR", "me")


def test_much_of_everything_at_once() -> None:
    """More than a pipe holds, in both directions, so neither side may wait for the other."""
    code = "import sys; d = sys.stdin.buffer.read(); sys.stderr.write('x' * 300000); sys.stdout.buffer.write(d)"
    data = b"y" * (LONGEST_OUTPUT - 1)
    found, output, words = python(code, data)
    assert (found, output) == (0, data) and len(words) == WORDS_KEPT + 1


def test_it_need_not_read_its_input() -> None:
    assert python("print('ok')", b"z" * 1_000_000)[:2] == (0, b"ok\n")


def test_only_the_environment_that_is_given() -> None:
    assert python("import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))", A="1")[1] == b"['A', 'PATH']\n"


def test_a_signal_is_told() -> None:
    assert python("import os; os.kill(os.getpid(), 9)")[0] == -9


def test_no_shell() -> None:
    ended = run_program(["/bin/echo", "$HOME; rm -rf /", "`id`"], b"", ENVIRONMENT, 60)
    assert ended.output == b"$HOME; rm -rf / `id`\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/program"], "'program' cannot be started: No such file or directory"),
        (["/etc/passwd"], "'passwd' cannot be started: Permission denied"),
        ([PYTHON, "a\0b"], "cannot be started: an argument or a variable has a null character"),
    ],
)
def test_what_cannot_be_started(arguments: list[str], words: str) -> None:
    with pytest.raises(ProgramError, match=words):
        run_program(arguments, b"", ENVIRONMENT, 60)


def test_the_time_limit_ends_it_and_its_children(tmp_path: Path) -> None:
    """The child would write the file; it is ended with its parent."""
    # A busy machine may not have come to the child in so little time.
    for limit in (1, 5, 25):
        here, late = tmp_path / f"here-{limit}", tmp_path / f"late-{limit}"
        child = f"import time, pathlib; pathlib.Path({str(here)!r}).touch(); time.sleep({3 * limit}); pathlib.Path({str(late)!r}).touch()"
        code = f"import subprocess, sys, time; print('thinking', file=sys.stderr, flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
        begun = time.monotonic()
        with pytest.raises(ProgramError) as caught:
            python(code, limit=limit)
        if here.exists():
            break
    assert caught.value.message.endswith(f"was not done in {limit} s; it said: thinking")
    time.sleep(max(0.0, begun + 4 * limit - time.monotonic()))
    assert here.exists() and not late.exists()


def test_what_it_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    """A daemon that keeps the output open: the program itself has ended well."""
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print('chain')"
    assert python(code, limit=300)[:2] == (0, b"chain\n")


def test_too_much_output() -> None:
    with pytest.raises(ProgramError, match="wrote more than 256 KiB"):
        python("import sys\nwhile True: sys.stdout.write('x' * 65536)")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", ""),
        (b"one\ntwo\r\n\n three ", "one two three"),
        (b"\x1b[31mred\x1b[0m \x07bell\x00 \xff", "red bell \N{REPLACEMENT CHARACTER}"),
        (b"a" * 600 + b"END", "…" + "a" * (WORDS_KEPT - 3) + "END"),
    ],
)
def test_last_words(said: bytes, words: str) -> None:
    assert last_words(said, ()) == words
