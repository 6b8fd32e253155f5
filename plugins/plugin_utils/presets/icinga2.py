# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Icinga 2: its pair has to be at /var/lib/icinga2/certs, under the name of its node."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("icinga2",),
    validate=("icinga2", "daemon", "-C"),
    endpoints=("127.0.0.1:5665",),
    programs=("icinga2",),
    user="nagios",
)
