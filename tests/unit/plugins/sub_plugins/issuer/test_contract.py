# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every issuer of this collection has to be, whatever else it is."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import (
    AnswersChallenges,
    KeepsCrls,
    abilities_of,
    undeclared,
    waiting,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuer
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, make_store

URL = "https://ca.example.com"
ISSUERS: dict[str, dict[str, Any]] = {
    "ca": {},
    "acme": {"directory_url": URL, "challenge": {"type": "http-01"}},
    "openbao": {"url": URL, "auth": {"method": "token", "token": "t"}, "role": "web"},
    "command": {"command": ["/bin/false"], "anchors": "/nowhere/anchors.pem"},
    "fetch": {"certificate": "/nowhere/leaf.pem", "anchors": "/nowhere/anchors.pem"},
}


@pytest.fixture(params=ISSUERS)
def issuer(request: pytest.FixtureRequest, tmp_path: Path) -> Issuer:
    return load_issuer("mine", {"type": request.param, **ISSUERS[request.param]}, make_store(tmp_path))


def test_nothing_hides_a_method_of_the_contract(issuer: Issuer) -> None:
    contracts = (Issuer, *abilities_of(type(issuer)))
    methods = [name for each in contracts for name, _method in inspect.getmembers(each, inspect.isfunction)]
    assert [name for name in methods if not callable(getattr(issuer, name))] == []


def test_it_says_what_it_can_do(issuer: Issuer) -> None:
    assert undeclared(type(issuer)) is None


def test_what_is_asked_of_every_issuer_in_every_run(issuer: Issuer) -> None:
    """None of it needs a secret or sends anything."""
    assert not isinstance(issuer, AnswersChallenges) or issuer.thumbprints() == ()
    assert not isinstance(issuer, KeepsCrls) or issuer.crls_due(NOW) is None
    assert waiting([issuer], NOW) == ()
