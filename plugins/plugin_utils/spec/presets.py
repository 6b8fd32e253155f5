# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets that come with the collection: one file each in ``plugin_utils/presets``, whose name is the service's."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

FOLDER = Path(__file__).parents[1] / "presets"
PACKAGE = "ansible_collections.fleet.tls.plugins.plugin_utils.presets"


@functools.lru_cache(maxsize=1)
def preset_names() -> tuple[str, ...]:
    """All of them, as users write them."""
    return tuple(sorted(path.stem.replace("_", "-") for path in FOLDER.glob("[a-z]*.py")))


@functools.cache
def find_preset(name: str) -> Preset | None:
    """The preset of a name; None: there is none."""
    if name not in preset_names():
        return None
    found: Preset = importlib.import_module(f"{PACKAGE}.{name.replace('-', '_')}").PRESET
    return found


def as_request(name: str | None) -> dict[str, Any] | None:
    """A preset as the host gets it: what is said in it. A host knows none by name, so it is sent those that it uses and no others."""
    preset = find_preset(name) if name else None
    if preset is None:
        return None
    fields = {each.name: getattr(preset, each.name) for each in dataclasses.fields(preset)}
    usual = {each.name: each.default for each in dataclasses.fields(preset)}
    return {each: value for each, value in fields.items() if value != usual[each]}
