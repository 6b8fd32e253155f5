# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fragments are reStructuredText: the markup of ansible-doc would stand in the changelog as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

FRAGMENTS = sorted((Path(__file__).parents[2] / "changelogs" / "fragments").glob("*.yml"))
MARKUP = re.compile(r"\b(?:[BCEILMOPRUV]|HORIZONTALLINE|RV)\(")


@pytest.mark.parametrize("path", FRAGMENTS, ids=[path.stem for path in FRAGMENTS])
def test_no_fragment_has_the_markup_of_ansible_doc(path: Path) -> None:
    for entries in yaml.safe_load(path.read_text(encoding="utf-8")).values():
        for entry in [entries] if isinstance(entries, str) else entries:
            assert not MARKUP.search(entry), entry
