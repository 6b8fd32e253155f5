# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as JSON: the document itself, as docs/reports.md describes it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def render(document: Mapping[str, Any]) -> str:
    """Indented, with a line break at its end."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
