# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.spelling import distance, meant

KNOWN = ("tls_certificates", "tls_hosts", "tls_sites", "tls_adopt_path", "tls_adopt_paths")


@pytest.mark.parametrize(
    ("one", "other", "letters"),
    [("sites", "sites", 0), ("site", "sites", 1), ("stie", "site", 1), ("soties", "sites", 2), ("", "ab", 2)],
)
def test_distance(one: str, other: str, letters: int) -> None:
    assert distance(one, other, 2) == distance(other, one, 2) == letters


def test_more_than_the_limit_is_just_more() -> None:
    assert distance("certificates", "sites", 2) == 3


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("tls_certificate", "tls_certificates"),
        ("tls_certifciates", "tls_certificates"),
        ("tls_certifcate", "tls_certificates"),
        ("tls_host", "tls_hosts"),
        # In a short word two slips make another word.
        ("tls_ports", None),
        ("tls_cert", None),
        ("tls_certificates_web", None),
        # The nearest, and of two the first.
        ("tls_adopt_pathz", "tls_adopt_path"),
    ],
)
def test_meant(written: str, known: str | None) -> None:
    assert meant(written, KNOWN, "tls_") == known
