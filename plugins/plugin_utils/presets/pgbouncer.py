# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PgBouncer."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("pgbouncer",),
    endpoints=("postgres://127.0.0.1:6432",),
    programs=("pgbouncer",),
    user="postgres",
)
