# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes to a host, byte for byte as docs/host-protocol.md has it."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.host_requests import (
    apply_request,
    install_entry,
    look_request,
    repair_entry,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key, make_leaf, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, LIFETIMES, NOW

RAW: list[dict[str, Any]] = [
    {
        "name": "www",
        "issuer": "internal",
        "dns_names": ["www.example.com"],
        "ip_addresses": ["192.0.2.1"],
        "outputs": [{"path": "/x/all.pem", "format": "combined"}],
        "services": ["nginx"],
    },
    {"name": "db", "issuer": "internal", "dns_names": ["db"], "services": ["nginx", {"name": "db", "reload": ["x"]}]},
]
SPEC = parse_host(RAW, LIFETIMES)
MOMENT = int(NOW.timestamp())
KEY = {"algorithm": "ecdsa-p256", "rotation_policy": "always", "location": "host"}


def test_look() -> None:
    settings = Settings(directory="/d", force=("www",))
    request = look_request(SPEC.certificates, SPEC.services, settings, NOW, "auto")
    assert json.loads(json.dumps(request)) == request | {"services": json.loads(json.dumps(request["services"]))}
    assert {key: request[key] for key in ("directory", "now", "prepare")} == {
        "directory": "/d",
        "now": MOMENT,
        "prepare": "auto",
    }
    assert request["certificates"][0] == {
        "name": "www",
        "force": True,
        "request_digest": SPEC.certificates[0].request_digest,
        "adopt": None,
        "renew_before": {"fraction": 0.33},
        "key": KEY,
        "subject": {
            "common_name": None,
            "sans": [["DNS", "www.example.com"], ["IP", "192.0.2.1"]],
            "subject": [],
            "usages": ["server_auth"],
            "key_usages": [],
            "must_staple": False,
        },
        "owner": None,
        "group": None,
        "mode": "0600",
        "outputs": [
            {
                "path": "/x/all.pem",
                "format": "combined",
                "method": "link",
                "owner": None,
                "group": None,
                "mode": "0600",
                "passphrase": None,
                "anchors": None,
                "profile": "modern",
            }
        ],
        "services": ["nginx"],
    }
    assert request["certificates"][1]["force"] is False
    assert [service["name"] for service in request["services"]] == ["nginx", "db"]
    assert [endpoint["certificate"] for endpoint in request["services"][0]["endpoints"]] == ["www", "db"]


def test_a_look_at_some_asks_for_their_services_and_endpoints_only() -> None:
    request = look_request(SPEC.certificates[:1], SPEC.services, Settings(), NOW, ["www"])
    assert [entry["name"] for entry in request["certificates"]] == ["www"]
    assert [service["name"] for service in request["services"]] == ["nginx"]
    assert [endpoint["certificate"] for endpoint in request["services"][0]["endpoints"]] == ["www"]


def test_apply() -> None:
    root = make_root("Root", "ecdsa-p256", NOW, 90 * DAY)
    spec = SPEC.certificates[0]
    leaf = make_leaf(generate_key("ecdsa-p256").public_key(), spec.names, spec.usages, root, NOW, DAY)
    install = install_entry(spec, (leaf, root.certificate), "internal", "request-0001")
    repair = repair_entry(SPEC.certificates[1], {"request_id": "request-0002"})
    request = apply_request([install, repair], SPEC, Settings(defer_proof=True, prove_timeout=7.5), NOW)
    assert {key: value for key, value in request.items() if key not in ("services", "certificates")} == {
        "directory": "/etc/fleet-tls", "now": MOMENT, "prove_timeout": 7.5, "defer_proof": True, "keep": 2,
        "claimed": [output.path for each in SPEC.certificates for output in each.outputs],
    }  # fmt: skip
    assert install["action"] == "install" and install["chain"] == [to_pem(leaf), to_pem(root.certificate)]
    assert install["manifest"] == {
        "name": "www",
        "issuer": "internal",
        "fingerprint": fingerprint(leaf),
        "serial": f"{leaf.serial_number:x}",
        "not_before": MOMENT - 3600,
        "not_after": MOMENT + 86400,
        "request_digest": spec.request_digest,
        "request_id": "request-0001",
    }
    assert (repair["action"], repair["request_id"], repair["chain"], repair["manifest"]) == (
        "repair",
        "request-0002",
        [],
        {},
    )
    assert install["request_id"] == "request-0001" and install["key"] == KEY
