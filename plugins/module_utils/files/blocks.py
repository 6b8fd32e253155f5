# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A block of ours in a file of somebody else's, for services that know no includes. Every other byte stays as it is."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError

BEGIN = b"# BEGIN fleet.tls: managed by Ansible, changes made in this block are overwritten"
# A last line without an end gets one, so that the block begins a line; the mark remembers to take it away again.
BEGIN_AFTER_OPEN_LINE = BEGIN + b" (the line before has no end of its own)"
END = b"# END fleet.tls"


def with_block(text: bytes, block: bytes | None, path: str) -> bytes:
    """A file's content with this block, where it was or at its end; None: without.

    :param path: for errors.
    :raises StepError: damaged_block: one mark without the other, or two blocks.
    """
    before, begin, after = split(text, path)
    if block is None:
        return (before[:-1] if begin == BEGIN_AFTER_OPEN_LINE else before) + after
    if begin is None:
        begin = BEGIN
        if before and not before.endswith(b"\n"):
            before, begin = before + b"\n", BEGIN_AFTER_OPEN_LINE
    end = b"" if block.endswith(b"\n") or not block else b"\n"
    return b"".join((before, begin, b"\n", block, end, END, b"\n", after))


def block_of(text: bytes, path: str) -> bytes | None:
    """What is in our block now; None: there is none. Errors as :func:`with_block`."""
    before, begin, after = split(text, path)
    if begin is None:
        return None
    return text[len(before) + len(begin) + 1 : len(text) - len(after) - len(END) - 1]


def split(text: bytes, path: str) -> tuple[bytes, bytes | None, bytes]:
    """What is before our block, its first line, and what is after it; the first line is None where there is no block."""
    lines = text.splitlines(keepends=True)
    marks = [(number, line.rstrip(b"\r\n")) for number, line in enumerate(lines) if line.startswith((BEGIN, END))]
    if not marks:
        return text, None, b""
    if len(marks) != 2 or marks[0][1] not in (BEGIN, BEGIN_AFTER_OPEN_LINE) or marks[1][1] != END:
        raise StepError(
            "damaged_block",
            f"{path}: the marks of our block are not one '{BEGIN.decode()[:17]}…' and one '{END.decode()}'",
            "remove the block with its marks, or put them right; nothing was changed",
        )
    first, last = marks[0][0], marks[1][0]
    return b"".join(lines[:first]), marks[0][1], b"".join(lines[last + 1 :])
