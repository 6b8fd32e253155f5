# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a certificate becomes due: the one rule that controller and host share. Pure."""

from __future__ import annotations

# The part of its lifetime before which a certificate may be due so that not all of one run are due at once again.
SPREAD = 1 / 20
# The part of the lifetime that counts where ``renew_before`` is not shorter than all of it.
INSTEAD = 1 / 3


def renewal_moment(not_before: int, not_after: int, renew_before: dict[str, float]) -> int:
    """When a certificate is to be renewed, seconds since the epoch.

    :param not_before: start of its validity, seconds since the epoch; ``not_after``: its end.
    :param renew_before: ``{"fraction": 0.33}`` of the lifetime, or ``{"seconds": 86400}``, before the end. ``spread``, from 0 to 1:
        how far into the window before that moment, a twentieth of the lifetime long, this certificate's own moment lies.
    """
    lifetime = not_after - not_before
    before = seconds_before(lifetime, renew_before)
    if before >= lifetime:
        before = lifetime * INSTEAD
    window = min(lifetime * SPREAD, (lifetime - before) / 2)
    return int(not_after - before - window * renew_before.get("spread", 0.0))


def seconds_before(lifetime: float, before_end: dict[str, float]) -> float:
    """How long before its end a part of a lifetime, or a time that is the same for all, begins; both in seconds."""
    return lifetime * before_end["fraction"] if "fraction" in before_end else before_end["seconds"]
