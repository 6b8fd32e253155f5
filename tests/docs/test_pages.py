# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block of guides, runbooks and examples, as a reader would type it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs.story import Outcome, hosts_of, stories, tell
from docs.world import world

STORIES = stories()
# Each process of pytest-xdist has hosts of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


@pytest.mark.parametrize("first", STORIES)
def test_every_block(first: str, tmp_path: Path, record_property: Callable[[str, Any], None]) -> None:
    pages = STORIES[first]
    name = re.sub(r"\W+", "-", first)
    # What counts where the hosts do not come up.
    outcome = Outcome(not_run={block.where: "it had no hosts" for page in pages for block in page.blocks()})
    try:
        with world(tmp_path, f"{name}{WORKER}", hosts_of(pages)) as made:
            outcome = tell(pages, made)
    finally:
        record_property("blocks", dataclasses.asdict(outcome))
    if outcome.faults:
        pytest.fail("\n\n".join(outcome.faults), pytrace=False)
