# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block of docs/post-quantum.md, as a reader would type it."""

from __future__ import annotations

from pathlib import Path

from docs.story import Page, hosts_of, tell
from docs.world import world
from tools import paths

NAME = "docs/post-quantum.md"


def test_the_page(tmp_path: Path) -> None:
    page = Page(NAME, (paths.ROOT / NAME).read_text(encoding="utf-8"))
    with world(tmp_path, "pq-page", hosts_of([page])) as made:
        outcome = tell([page], made)
    assert outcome.ran >= 5 and not outcome.not_run and not outcome.faults, "\n\n".join(outcome.faults)
