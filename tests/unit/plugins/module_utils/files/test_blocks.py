# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.blocks import BEGIN, END, block_of, with_block

MARKED = BEGIN + b"\nours\n" + END + b"\n"


@pytest.mark.parametrize("text", [b"", b"theirs\n", b"theirs", b"theirs\r\nmore\r", b"\n\n", b"no \xff text\n"])
def test_a_block_comes_and_goes_and_leaves_no_trace(text: bytes) -> None:
    added = with_block(text, b"ours\n", "f")
    assert added.startswith(text) and added.endswith(END + b"\n")
    assert block_of(added, "f") == b"ours\n"
    assert with_block(added, b"ours\n", "f") == added
    assert with_block(with_block(added, b"other", "f"), None, "f") == text


def test_a_block_stays_where_it_is() -> None:
    text = b"before\n" + MARKED + b"after"
    assert with_block(text, b"new\n", "f") == text.replace(b"ours", b"new")
    assert with_block(text, None, "f") == b"before\nafter"


def test_nothing_to_remove() -> None:
    assert with_block(b"theirs", None, "f") == b"theirs"
    assert block_of(b"theirs", "f") is None


@pytest.mark.parametrize(
    "text",
    [
        MARKED + MARKED,
        BEGIN + b"\nours\n",
        b"ours\n" + END + b"\n",
        END + b"\n" + BEGIN + b"\n",
        BEGIN + b" edited\n" + END,
    ],
)
def test_damaged_marks_are_left_to_their_owner(text: bytes) -> None:
    with pytest.raises(StepError, match="f: the marks of our block"):
        with_block(text, b"new\n", "f")
