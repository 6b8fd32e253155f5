# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hitch wants certificate, chain and key in one file: an output of format combined."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("hitch",),
    validate=("hitch", "--test", "--config=/etc/hitch/hitch.conf"),
    endpoints=("127.0.0.1:443",),
    programs=("hitch",),
    user="_hitch",
)
