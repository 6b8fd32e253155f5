# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apache: its -t misses all that matters here, and the graceful then ends the server."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset
from ansible_collections.fleet.tls.plugins.plugin_utils.base.pid_files import process_of

PRESET = Preset(
    units=("apache2", "httpd"),
    # The RHEL family's, which makes the pair that its ssl.conf names.
    prepared_by=("httpd-init",),
    # Debian's unit runs this, and it sets what the configuration needs. The RHEL family's unit runs httpd itself: apachectl there
    # shows nothing of a configuration.
    validate=("apachectl", "-t"),
    check_word="-t",
    reload=("apachectl", "graceful"),
    check=process_of("/run/apache2/apache2.pid", "/run/httpd/httpd.pid"),
    start=("apachectl", "start"),
    endpoints=("127.0.0.1:443",),
    programs=("apache2", "httpd"),
    guard="apache",
)
