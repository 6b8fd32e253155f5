# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot: takes a mismatched pair, and then refuses every login."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset
from ansible_collections.fleet.tls.plugins.plugin_utils.base.pid_files import process_of

PRESET = Preset(
    units=("dovecot",),
    validate=("doveconf", "-n"),
    reload=("doveadm", "reload"),
    check=process_of("/run/dovecot/master.pid"),
    start=("dovecot",),
    endpoints=("127.0.0.1:993", "imap://127.0.0.1:143", "127.0.0.1:995", "pop3://127.0.0.1:110"),
    programs=("dovecot", "imap-login", "pop3-login"),
    guard="dovecot",
)
