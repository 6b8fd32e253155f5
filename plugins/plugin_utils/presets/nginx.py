# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("nginx",),
    validate=("nginx", "-t", "-q"),
    check_word="-t",
    reload=("nginx", "-s", "reload"),
    check=("test", "-s", "/run/nginx.pid"),
    start=("nginx",),
    endpoints=("127.0.0.1:443",),
    programs=("nginx", "openresty"),
    guard="nginx",
)
