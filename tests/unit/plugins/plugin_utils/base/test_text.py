# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import (
    LONGEST_TEXT,
    printable,
    shortened,
    text_or_none,
)


def test_one_line_that_plays_no_tricks() -> None:
    assert printable("a\x1b[2J\nb") == "a [2J b" and shortened("a\u202eb") == "a b"
    assert text_or_none("") is None and text_or_none(7) == "7"


def test_nobody_reads_on_forever() -> None:
    assert shortened("x" * LONGEST_TEXT) == "x" * LONGEST_TEXT
    assert shortened("x" * LONGEST_TEXT + "\n") == "x" * LONGEST_TEXT + "…"


def test_what_is_cut_costs_nothing() -> None:
    """Cleaning looks at each character in Python: thirty million of them take seconds."""
    huge = "\x1b" * 3 * 10**7
    begun = time.process_time()
    assert len(shortened(huge)) == LONGEST_TEXT + 1
    assert time.process_time() - begun < 0.5
