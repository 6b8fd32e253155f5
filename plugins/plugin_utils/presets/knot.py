# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knot DNS, DNS over TLS."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("knot",),
    validate=("knotc", "conf-check"),
    reload=("knotc", "reload"),
    endpoints=("127.0.0.1:853",),
    programs=("knotd",),
    user="knot",
)
