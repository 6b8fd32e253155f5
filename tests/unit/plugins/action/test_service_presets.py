# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preset of the user's own counts in every action in which a service can be named; what a host is sent of services is what it uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.certificates import ActionModule as Certificates
from ansible_collections.fleet.tls.plugins.action.clients import ActionModule as Clients
from ansible_collections.fleet.tls.plugins.action.service_config import ActionModule as ServiceConfig
from ansible_collections.fleet.tls.plugins.action.session_ticket_keys import ActionModule as SessionTicketKeys
from ansible_collections.fleet.tls.plugins.action.trust_bundle import ActionModule as TrustBundle
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, cheap_scrypt
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority

__all__ = ["cheap_scrypt"]

OPTIONS = {
    Certificates: "issuers: {internal: {type: ca}}\ncertificates: [{name: www, dns_names: [a.example], issuer: internal, services: [edge]}]",
    Clients: "clients: [{certificate: www, services: [edge]}]",
    ServiceConfig: "service: edge\nfiles: [{path: /etc/x.conf, content: x}]",
    SessionTicketKeys: "pool: web\nservers: [{server: nginx, service: edge, endpoints: ['127.0.0.1:443']}]",
    TrustBundle: "anchors: {test: '{{ root }}'}\nsystem: false\nbundles: [{path: /etc/x.pem}]\nservices: [edge]",
}


def services_in(part: Any) -> Iterator[dict[str, Any]]:
    """Every service of a request, wherever it is."""
    if isinstance(part, dict):
        if "units" in part:
            yield part
        part = list(part.values())
    for each in part if isinstance(part, list) else ():
        yield from services_in(each)


@pytest.mark.parametrize("action", OPTIONS)
def test_it_counts(action: type[TlsAction], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def step(_action: TlsAction, _name: str, request: dict[str, Any], *_rest: Any) -> dict[str, Any]:
        asked.append(request)
        raise HostError("that will do")

    monkeypatch.setattr(action, "step", step)
    store = "" if action is ServiceConfig else f"store: {{path: {tmp_path}, passphrase: {PASSPHRASE}}}\n"
    presets = "service_presets: {edge: {unit: edge, reload: restart}, nginx: {user: www}}\n"
    root = Authority(tmp_path / "ca").root.pem
    with contextlib.suppress(AnsibleActionFail):
        run_action(action, f"{store}{presets}{OPTIONS[action]}", {"root": root, "ansible_facts": {}})
    (service,) = services_in(asked[0])
    assert (service["name"], service["units"], service["reload_by"]) == ("edge", ("edge",), "restart")
    assert service["preset"] is None
