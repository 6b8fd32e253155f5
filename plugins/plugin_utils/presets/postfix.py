# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix: takes a mismatched pair, and then offers no TLS at all."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset
from ansible_collections.fleet.tls.plugins.plugin_utils.base.pid_files import process_of

PRESET = Preset(
    units=("postfix", "postfix@-"),
    validate=("postfix", "check"),
    reload=("postfix", "reload"),
    check=process_of("/var/spool/postfix/pid/master.pid"),
    start=("postfix", "start"),
    endpoints=("smtp://127.0.0.1:25",),
    programs=("master",),
    eager=True,
    guard="postfix",
)
