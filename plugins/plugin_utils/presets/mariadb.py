# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MariaDB: the unit's reload leaves the pair as it is."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("mariadb", "mysql", "mysqld"),
    # Over the socket, where the client would verify the certificate all the same.
    reload=("mariadb", "--protocol=socket", "--skip-ssl", "-e", "FLUSH SSL"),
    through_unit=False,
    endpoints=("mysql://127.0.0.1:3306",),
    programs=("mariadbd", "mysqld"),
    user="mysql",
)
