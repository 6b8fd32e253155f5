# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a host is asked at all, and for what; what it does then is shown in test_trust.py of the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.trust_bundle import ActionModule
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, make_issuer

INTERNAL = "issuers: {internal: {type: ca}}"
PUBLIC = "issuers: {public: {type: acme, directory_url: 'https://acme.example/', terms_agreed: true, challenge: {type: http-01}}}"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_issuer(tmp_path).prepare(ActionModule.now())
    return tmp_path


def asked(store: Path, extra: str, trusts_ours: bool | None = None) -> dict[str, Any] | None:
    """The request that the host gets; None: it is not asked."""
    requests: list[dict[str, Any]] = []

    class OnHost(ActionModule):
        def step(self, step: str, request: Any, variables: Any, secrets: Any = None) -> dict[str, Any]:
            requests.append(request)
            return {
                "changed": True,
                "family": "debian",
                "changed_paths": [],
                "kept_files": {},
                "services": {},
                "diff": [],
            }

    facts = {} if trusts_ours is None else {"fleet_tls_host": {"trusts_ours": trusts_ours}}
    options = f"store: {{path: {store}, passphrase: {PASSPHRASE}}}\n{extra}"
    run_action(OnHost, options, {"ansible_facts": facts})
    return requests[0] if requests else None


@pytest.mark.parametrize("extra", [f"{INTERNAL}\nsystem: false", f"{INTERNAL}\nfrom_issuers: []\nsystem: true"])
def test_what_is_unwanted_is_removed(store: Path, extra: str) -> None:
    request = asked(store, extra)
    assert request is not None and (request["anchors"] == [] or request["system"] is False)
    assert asked(store, extra, trusts_ours=True) is not None
    assert asked(store, extra, trusts_ours=False) is None


def test_moved_from_the_internal_ca_to_a_public_one(store: Path) -> None:
    request = asked(store, f"{PUBLIC}\nsystem: true")
    assert request is not None and (request["anchors"], request["system"]) == ([], True)
    assert asked(store, f"{PUBLIC}\nsystem: true", trusts_ours=False) is None


def test_left_alone_where_nothing_is_said_of_it(store: Path) -> None:
    assert asked(store, INTERNAL) is None
    request = asked(store, f"{INTERNAL}\nbundles: [{{path: /etc/x.pem}}]")
    assert request is not None and request["system"] is None and len(request["anchors"]) == 1


def test_installed_whatever_a_look_said(store: Path) -> None:
    request = asked(store, f"{INTERNAL}\nsystem: true", trusts_ours=False)
    assert request is not None and request["system"] is True and len(request["anchors"]) == 1


def test_never_an_empty_bundle(store: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="no trust anchor to install"):
        asked(store, f"{INTERNAL}\nfrom_issuers: []\nsystem: true\nbundles: [{{path: /etc/x.pem}}]")
