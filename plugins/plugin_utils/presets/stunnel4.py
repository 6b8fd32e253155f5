# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""stunnel serves whatever its configuration says, so it has no usual endpoint but this one."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("stunnel@*", "stunnel4", "stunnel"),
    signal="HUP",
    endpoints=("127.0.0.1:443",),
    programs=("stunnel", "stunnel4"),
)
