# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of docs/services.md says what the presets say."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.presets import find_preset, preset_names

PAGE = Path(__file__).resolve().parents[2] / "docs/services.md"


def taken_by(preset: Preset) -> str:
    """How a service takes a new pair, in the page's words."""
    if preset.reload_by:
        return {"restart": "restart", "none": "by itself"}[preset.reload_by]
    if preset.signal:
        return f"SIG{preset.signal}"
    if preset.control:
        return "`CONFIG SET`"
    return "reload" if preset.through_unit else "command"


def row(name: str) -> list[str]:
    """What a preset's row begins with."""
    preset = find_preset(name)
    assert preset is not None
    places = ", ".join(f"`{place}`" for place in preset.endpoints)
    return [
        f"`{name}`",
        f"`{preset.units[0]}`",
        f"`{preset.user}`" if preset.user else "root",
        taken_by(preset),
        places,
    ]


def test_the_table() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = [cells for cells in rows if len(cells) == 6]
    assert [each[:5] for each in rows] == [row(name) for name in preset_names()]
    assert all(each[5] for each in rows)
