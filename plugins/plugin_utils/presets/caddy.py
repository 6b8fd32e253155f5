# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy: without --force it finds the configuration unchanged. As root, validate would leave files that caddy cannot write to."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("caddy",),
    validate=(
        "runuser",
        "-u",
        "caddy",
        "--",
        "env",
        "HOME=/var/lib/caddy",
        "caddy",
        "validate",
        "--config",
        "/etc/caddy/Caddyfile",
        "--adapter",
        "caddyfile",
    ),
    reload=("caddy", "reload", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile", "--force"),
    check=("pidof", "-c", "caddy"),  # not one of a container
    start=("caddy", "start", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
    through_unit=False,
    endpoints=("127.0.0.1:443",),
    programs=("caddy",),
    user="caddy",
    guard="caddy",
)
