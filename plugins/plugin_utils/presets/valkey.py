# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Valkey has neither a reload nor a check of its configuration; it is told as Redis is."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("valkey-server", "valkey"),
    through_unit=False,
    endpoints=("127.0.0.1:6379", "127.0.0.1:6380"),
    programs=("valkey-server",),
    user="valkey",
    guard="redis",
    control="redis",
    config_files=("/etc/valkey/valkey.conf",),
)
