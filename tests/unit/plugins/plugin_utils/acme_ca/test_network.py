# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account_key import thumbprint
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.library import require_acme
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.network import Network, problem_text, retry_after
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key

DATE = "Mon, 23 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": "0"}, 0.0),
        # By the CA's own clock, whatever ours says.
        ({"Retry-After": "Mon, 23 Nov 2026 10:02:00 GMT", "Date": DATE}, 120.0),
        ({"Retry-After": "Mon, 23 Nov 2026 09:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Mon, 23 Nov 2026 10:02:00 GMT"}, None),
        ({"Retry-After": "soon", "Date": DATE}, None),
        ({"Retry-After": "-5"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after(headers, default=None) == wait


def test_a_problem_in_one_line() -> None:
    document: dict[str, Any] = {
        "type": "urn:ietf:params:acme:error:compound",
        "detail": "some\nnames\x1b[31m",
        "subproblems": [{"identifier": {"type": "dns", "value": "a.example"}, "detail": "no"}, "nonsense", {}],
    }
    assert problem_text(document) == "some names [31m; a.example: no; ?: None [compound]"


def test_the_thumbprint_is_that_of_the_library() -> None:
    pytest.importorskip("acme", reason="the suite unit-lowest has none: it wants a newer cryptography")
    require_acme()
    key = generate_key("ecdsa-p256")
    network = Network(key, verify=None, patience=1)
    import josepy

    assert thumbprint(key) == josepy.b64encode(network.key.thumbprint()).decode()  # type: ignore[union-attr]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca import library as acme_library

    monkeypatch.setattr(acme_library, "LIBRARY_PROBLEM", "No module named 'acme'")
    with pytest.raises(DependencyError, match="pip install 'acme"):
        Network(None, verify=None, patience=1)
