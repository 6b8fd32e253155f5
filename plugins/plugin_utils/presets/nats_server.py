# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NATS."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("nats-server", "nats"),
    validate=("nats-server", "-t", "-c", "/etc/nats-server.conf"),
    reload=("nats-server", "--signal", "reload"),
    endpoints=("nats://127.0.0.1:4222",),
    programs=("nats-server",),
    user="nats",
)
