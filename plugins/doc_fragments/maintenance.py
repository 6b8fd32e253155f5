# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what renewals and rotations have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """When what can wait may be done."""

    DOCUMENTATION = r"""
options:
  windows:
    description:
      - The maintenance windows. What can wait is done only while one of them is open; without any, always. One mapping, or a list of them.
      - Each has C(cron) (when it opens, in the five fields of cron), C(duration) (how long it stays open, such as V(3h)) and C(timezone)
        (whose clocks C(cron) means, such as V(Europe/Berlin); default V(UTC)).
      - Windows need the Python package C(cronsim) on the controller.
    type: raw
    default: []
  freeze:
    description:
      - Times at which nothing is done that can wait, whatever O(windows) say. V(true) means from now on, until it is taken away.
      - Or one mapping, or a list of them, each with C(from), C(until) (days or moments in ISO 8601, one of them is enough), C(timezone)
        (of those that name none; default V(UTC)) and C(reason).
    type: raw
    default: false
"""
