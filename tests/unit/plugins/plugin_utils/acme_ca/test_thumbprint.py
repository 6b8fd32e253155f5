# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.thumbprint import account_thumbprint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

ONE, OTHER = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "a" * 43


@pytest.mark.parametrize(("raw", "thumbprint"), [([], ""), (None, ""), ([ONE], ONE), (ONE, ONE), ([ONE, ONE], ONE)])
def test_the_thumbprint(raw: Any, thumbprint: str) -> None:
    assert account_thumbprint(raw) == thumbprint


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (["short"], "is not the thumbprint"),
        ([ONE + "="], "is not the thumbprint"),
        ([ONE[:-1] + '"'], "is not the thumbprint"),
        ([ONE + "\n"], "is not the thumbprint"),
        ([ONE, OTHER], "those of 2 accounts"),
    ],
)
def test_what_cannot_be_answered_with_is_refused(raw: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        account_thumbprint(raw)
