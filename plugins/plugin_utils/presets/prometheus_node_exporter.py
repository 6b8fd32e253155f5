# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus's node exporter reads its web configuration, and with it the pair, for each connection."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("prometheus-node-exporter", "node_exporter"),
    reload_by="none",
    endpoints=("127.0.0.1:9100",),
    programs=("prometheus-node", "node_exporter"),
    user="prometheus",
)
