# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a certificate becomes due: the one rule that controller and host share. Pure."""

from __future__ import annotations


def renewal_moment(not_before: int, not_after: int, renew_before: dict[str, float]) -> int:
    """When a certificate is to be renewed, seconds since the epoch.

    :param not_before: start of its validity, seconds since the epoch; ``not_after``: its end.
    :param renew_before: ``{"fraction": 0.33}`` of the lifetime, or ``{"seconds": 86400}``, before the end.
    """
    if "fraction" in renew_before:
        return int(not_after - (not_after - not_before) * renew_before["fraction"])
    return int(not_after - renew_before["seconds"])
