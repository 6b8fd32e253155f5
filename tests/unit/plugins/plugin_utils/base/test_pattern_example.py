# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.pattern_example import example_of


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        (r"^shop\d+\.example\.com$", "shop1.example.com"),
        (r"^(www|shop)\.example\.(com|org)$", "www.example.com"),
        (r"^(?<user>[a-z0-9-]+)\.example\.com$", "a.example.com"),
        (r"^(?:www\.)?example\.com$", "example.com"),
        (r"^[^.]{3}\.example\.com$", "aaa.example.com"),
        (r"^www\d{2,4}\.example\.com", "www11.example.com"),
        (r"^.+\.example\.com$", "a.example.com"),
        (r"^(a(b|c)+d)$", "abd"),
        # More than it reads, or what nothing matches.
        (r"^(?!www)\w+\.example\.com$", None),
        (r"^(www\.example\.com$", None),
        (r"^www\.example\.com)$", None),
        (r"^\bwww.(?<=x)$", None),
        (r"[", None),
    ],
)
def test_examples(pattern: str, example: str | None) -> None:
    assert example_of(pattern) == example
