# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.openssl_client import arguments
from ansible_collections.fleet.tls.plugins.module_utils.tls.staple import Staple, read, staple_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair, tls_server

GOOD = """
OCSP response:
======================================
OCSP Response Data:
    OCSP Response Status: successful (0x0)
    Responses:
    Cert Status: good
    This Update: Nov 24 10:00:00 2026 GMT
    Next Update: Nov 27 10:00:00 2026 GMT
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (GOOD, Staple(True, "good", "Nov 24 10:00:00 2026 GMT", "Nov 27 10:00:00 2026 GMT")),
        (
            GOOD.replace("good", "revoked"),
            Staple(True, "revoked", "Nov 24 10:00:00 2026 GMT", "Nov 27 10:00:00 2026 GMT"),
        ),
        ("OCSP response:\n    OCSP Response Status: trylater (0x3)\n", Staple(True, "trylater")),
        ("OCSP response: no response sent\n", Staple(False)),
        ("connect:errno=111\n", Staple(None, error="openssl did not complete the handshake")),
    ],
)
def test_words(words: str, expected: Staple) -> None:
    assert read(words) == expected


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (Endpoint("a", 443, "a.example.com."), ["-servername", "a.example.com"]),
        (Endpoint("::1", 443), ["-noservername"]),
        (Endpoint("a", 443, "192.0.2.1"), ["-noservername"]),
        (
            Endpoint("a", 25, None, client_certificate="/c", client_key="/k"),
            ["-noservername", "-cert", "/c", "-key", "/k"],
        ),
    ],
)
def test_arguments(endpoint: Endpoint, expected: list[str]) -> None:
    assert arguments(endpoint) == expected


def test_a_real_server_without(pairs: list[Pair]) -> None:
    with tls_server(pairs[0]) as server:
        assert staple_of(Endpoint(server.host, server.port, "www.example.com", timeout=30)) == Staple(False)
        assert staple_of(Endpoint("127.0.0.1", 1, timeout=30)).present is None


def test_a_client_s_files_are_those_of_the_probing_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    said = arguments(Endpoint("web", 443, client_certificate="~/client.pem"))
    assert said[-4:] == ["-cert", "/home/ops/client.pem", "-key", "/home/ops/client.pem"]
