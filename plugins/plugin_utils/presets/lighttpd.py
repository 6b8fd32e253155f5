# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lighttpd: reads the key as the user it runs as, and ends when it cannot. -tt does not look at that."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset
from ansible_collections.fleet.tls.plugins.plugin_utils.base.pid_files import process_of, signal_to

PRESET = Preset(
    units=("lighttpd",),
    validate=("lighttpd", "-tt", "-f", "/etc/lighttpd/lighttpd.conf"),
    check_word="-tt",
    reload=signal_to("USR1", "/run/lighttpd.pid"),
    check=process_of("/run/lighttpd.pid"),
    start=("lighttpd", "-f", "/etc/lighttpd/lighttpd.conf"),
    endpoints=("127.0.0.1:443",),
    programs=("lighttpd",),
    user="www-data",
    guard="lighttpd",
)
