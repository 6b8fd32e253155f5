# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy: wants certificate, chain and key in one file: an output of format combined."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset
from ansible_collections.fleet.tls.plugins.plugin_utils.base.pid_files import process_of, signal_to

PRESET = Preset(
    units=("haproxy",),
    # Without -W a "program" section is an error.
    validate=("haproxy", "-W", "-c", "-f", "/etc/haproxy/haproxy.cfg"),
    check_word="-c",
    reload=signal_to("USR2", "/run/haproxy.pid"),
    check=process_of("/run/haproxy.pid"),
    start=("haproxy", "-W", "-D", "-f", "/etc/haproxy/haproxy.cfg", "-p", "/run/haproxy.pid"),
    endpoints=("127.0.0.1:443",),
    programs=("haproxy",),
    guard="haproxy",
)
