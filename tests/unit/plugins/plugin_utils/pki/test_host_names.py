# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.host_names import speaks_for
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names


@pytest.mark.parametrize("with_idna", [True, False])
@pytest.mark.parametrize(
    ("wanted", "has", "speaks"),
    [
        ("bücher.example", "xn--bcher-kva.example", True),
        ("BÜCHER.example.", "xn--bcher-kva.example", True),
        ("www.bücher.example", "*.xn--bcher-kva.example", True),
        ("bücher.example", "bucher.example", False),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", True),
        ("\u202e.example", "example", False),
    ],
)
def test_a_host_in_unicode(
    wanted: str, has: str, speaks: bool, with_idna: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_idna:
        monkeypatch.setitem(sys.modules, "idna", None)
    assert speaks_for(Names(dns_names=(has,)), wanted) is speaks
