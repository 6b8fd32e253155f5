# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis has neither a reload nor a check of its configuration."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset
from ansible_collections.fleet.tls.plugins.plugin_utils.base.pid_files import process_of

PRESET = Preset(
    units=("redis-server", "redis", "valkey"),
    check=process_of("/run/redis/redis-server.pid", "/run/redis/redis.pid"),
    start=("redis-server", "/etc/redis/redis.conf", "--daemonize", "yes"),
    through_unit=False,
    endpoints=("127.0.0.1:6379", "127.0.0.1:6380"),
    programs=("redis-server", "valkey-server"),
    user="redis",
    guard="redis",
    control="redis",
    config_files=("/etc/redis/redis.conf", "/etc/redis.conf", "/etc/valkey/valkey.conf"),
)
