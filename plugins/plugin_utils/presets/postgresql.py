# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL: a reload keeps the old pair when the new one is bad, and says nothing; a restart then fails."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("postgresql", "postgresql@*", "postgresql-*"),
    endpoints=("postgres://127.0.0.1:5432",),
    programs=("postgres", "postmaster"),
    user="postgres",
    strict_key=True,
    guard="postgresql",
)
