# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether systemd runs this host."""

from __future__ import annotations

import os


def systemd_runs() -> bool:
    """As sd_booted(3) tells."""
    return os.path.isdir("/run/systemd/system")
