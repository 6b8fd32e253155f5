# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nine services on real hosts: first issue, renewal under handshakes, nothing to do, what a probe sees, presets of one's own."""

from __future__ import annotations

import contextlib
import json
import ssl
from typing import Any

import pytest

from fleet import servers
from fleet.ninefold import Ninefold
from tools.playbook import run_playbook

PROBE = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"fleet.tls.endpoint_info": "{{ asked }}", "name": "Probe"}],
    }
]
GATEWAY = {
    "unit": ["no-such-gateway", "nginx.service"],
    "validate": ["nginx", "-t", "-q"],
    "endpoints": ["127.0.0.1:443"],
    "programs": "nginx",
    "user": "www-data",
    "group": "www-data",
}


def hosts_and_servers() -> list[Any]:
    return [
        pytest.param(host, server, id=f"{host}-{server.name}")
        for host in ("nine12", "nine13")
        for server in servers.SERVERS
    ]


def live(nine: Ninefold, host: str, server: servers.Server) -> str:
    """The certificate on the host."""
    return nine.fleet.exec(host, ["cat", f"{servers.LIVE}/{server.name}/cert.pem"]).stdout


@pytest.mark.parametrize(("host", "server"), hosts_and_servers())
def test_it_serves_what_it_was_given(nine: Ninefold, host: str, server: servers.Server) -> None:
    assert nine.served(host, server) == live(nine, host, server)
    found = nine.fleet.exec(
        host, ["stat", "-L", "-c", "%U %a", f"{servers.LIVE}/{server.name}/privkey.pem"]
    ).stdout.split()
    assert found == [server.owner, "600"]


def test_renewed_under_handshakes_and_then_left_alone(nine: Ninefold) -> None:
    pairs = [(host, server) for host in nine.fleet.addresses for server in servers.SERVERS]
    before = {(host, server.name): live(nine, host, server) for host, server in pairs}
    with contextlib.ExitStack() as stack:
        watches = [stack.enter_context(nine.watching(host, server)) for host, server in pairs]
        renewed = nine.run(tls_force=True).check()
        again = nine.run().check()
    for (host, server), watch in zip(pairs, watches):
        old, new = before[host, server.name], live(nine, host, server)
        assert old != new and watch.leaves[-1] == new, (host, server.name)
        assert watch.seen == {old, new}, (host, server.name)
        assert not watch.refused or not server.uninterrupted, (host, server.name, watch.refused[:3])
    for host in nine.fleet.addresses:
        (result,) = renewed.results(host=host, action="fleet.tls.certificates")
        assert result["services"] == {name: {"state": "reloaded", "error": None} for name in servers.NAMES}
        assert {each["name"]: each["settled"] for each in result["certificates"]} == dict.fromkeys(servers.NAMES, True)
    assert again.changed == 0


def test_a_probe_speaks_their_protocols(nine: Ninefold, tmp_path: Any) -> None:
    """As people write it: in the address, in the mapping, and for all of them."""
    play = tmp_path / "play.yml"
    play.write_text(json.dumps(PROBE))
    root = (nine.folder / "store" / "ca" / "internal" / "root-1.pem").read_text()
    address = nine.fleet.addresses["nine13"]
    asked = {
        "endpoints": [
            f"smtp://{address}:25", f"imap://{address}:143", {"host": address, "port": 110, "starttls": "pop3"},
            {"host": address, "port": 5432},
        ],
        "starttls": "postgres", "anchors": root,
    }  # fmt: skip
    shown = (
        run_playbook(play, "localhost,", {"asked": asked})
        .check()
        .results(action="fleet.tls.endpoint_info")[0]["endpoints"]
    )
    names = [("postfix", 25), ("dovecot", 143), ("dovecot", 110), ("postgresql", 5432)]
    for entry, (name, port) in zip(shown, names):
        assert entry["port"] == port and entry["error"] is None
        assert entry["chain"][0] == live(nine, "nine13", servers.BY_NAME[name])
        # It was asked for by its address, and is for its name only.
        assert entry["problems"] == [f"the certificate is not for {address} (its names: {name}.test)"]
    wrong = {"endpoints": [f"imap://{address}:25", f"smtp://{address}:443"], "timeout": "3s"}
    said = (
        run_playbook(play, "localhost,", {"asked": wrong})
        .check()
        .results(action="fleet.tls.endpoint_info")[0]["endpoints"]
    )
    assert [entry["reachable"] for entry in said] == [False, False]
    assert said[0]["error"].startswith("imap: the server does not start TLS: it said '220 postfix.test ESMTP")
    assert said[1]["error"].startswith("smtp: ")


def test_a_preset_of_ones_own(nine: Ninefold) -> None:
    """It brings unit, owner and endpoint; one of ours is changed the same way."""
    nginx = servers.BY_NAME["nginx"]
    wanted = [{**nginx.wanted(), "services": ["gateway"]}]
    presets = {"gateway": GATEWAY, "nginx": {"mode": "0640"}}
    changed = nine.run(wanted, ["nine13"], tls_force=True, tls_service_presets=presets).check()
    (result,) = changed.results(action="fleet.tls.certificates")
    assert result["services"] == {"gateway": {"state": "reloaded", "error": None}}
    assert nine.served("nine13", nginx) == live(nine, "nine13", nginx)
    key = f"{servers.LIVE}/nginx/privkey.pem"
    assert nine.fleet.exec("nine13", ["stat", "-L", "-c", "%U:%G %a", key]).stdout.strip() == "www-data:www-data 600"
    assert nine.run(wanted, ["nine13"], tls_service_presets=presets).check().changed == 0

    back = nine.run(
        [nginx.wanted()], ["nine13"], tls_service_presets={"nginx": {"mode": "0640", "owner": "root"}}
    ).check()
    assert back.changed == 1
    assert nine.fleet.exec("nine13", ["stat", "-L", "-c", "%U %a", key]).stdout.strip() == "www-data 640"
    nine.run([nginx.wanted(owner="root", group="root")], ["nine13"]).check()


def test_haproxy_serves_one_file(nine: Ninefold) -> None:
    path = nine.fleet.exec("nine12", ["readlink", "-f", "/etc/haproxy/certs/haproxy.pem"]).stdout.strip()
    assert path.startswith("/etc/fleet-tls/generations/haproxy/")
    content = nine.fleet.exec("nine12", ["cat", path]).stdout
    assert content.count("BEGIN CERTIFICATE") == 2 and content.count("PRIVATE KEY") == 2
    assert ssl.PEM_cert_to_DER_cert(content[: content.index("-----END") + 26]) == ssl.PEM_cert_to_DER_cert(
        nine.served("nine12", servers.BY_NAME["haproxy"])
    )
