# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BIND, DNS over TLS. AppArmor lets it read below /etc/bind only, so give its certificate outputs there, by copy."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("named", "bind9"),
    validate=("named-checkconf",),
    reload=("rndc", "reconfig"),
    endpoints=("127.0.0.1:853",),
    programs=("named",),
    user="bind",
)
