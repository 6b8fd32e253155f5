# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.results import Announcer


def test_an_announcer_is_quiet_at_first_and_not_too_loud_later() -> None:
    clock, said = [0.0], list[str]()
    tell = Announcer(said.append, lambda: clock[0])
    for second in range(13):
        clock[0] = second
        tell(second, 12)
    assert said == ["fleet.tls.endpoint_info: 5 of 12 endpoints", "fleet.tls.endpoint_info: 10 of 12 endpoints"]
