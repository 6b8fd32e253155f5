# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one rule for when a certificate becomes due."""

from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.renewal import renewal_moment


@pytest.mark.parametrize(
    ("not_before", "not_after", "renew_before", "moment"),
    [
        (0, 90 * 86400, {"seconds": 30 * 86400}, 60 * 86400),
        (0, 900, {"fraction": 1 / 3}, 600),
        (100, 1000, {"fraction": 0.5}, 550),
        (0, 1000, {"fraction": 0.0}, 1000),
        # Never late by rounding.
        (0, 10, {"fraction": 0.25}, 7),
        (0, 100, {"seconds": 0.5}, 99),
        # Longer than the whole life: at two thirds of it, not at every run.
        (1000, 2500, {"seconds": 5000}, 2000),
        (1000, 2500, {"seconds": 1500}, 2000),
        # Spread over the twentieth of the life before; never into its beginning.
        (0, 1000, {"fraction": 0.3, "spread": 1.0}, 650),
        (0, 1000, {"fraction": 0.3, "spread": 0.5}, 675),
        (0, 1000, {"fraction": 0.99, "spread": 1.0}, 5),
    ],
)
def test_renewal_moment(not_before: int, not_after: int, renew_before: dict[str, float], moment: int) -> None:
    found = renewal_moment(not_before, not_after, renew_before)
    assert found == moment and isinstance(found, int)
