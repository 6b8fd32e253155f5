# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mozilla's profiles on nginx, Apache and HAProxy, as sslyze and openssl see them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.accepted import judge_accepts, read_accepts
from fleet.fleet import Fleet
from fleet.web_servers import PUBLIC, SERVERS, WebServers, web_servers
from tools import venvs
from tools.playbook import run_playbook

HOSTS = ("deb12", "deb13")
NAME = "www.test"
HYBRID = "X25519MLKEM768"
SITE = {
    "name": "www",
    "server_names": [NAME],
    "certificate": "www",
    "listen": 0,
    "upstream": f"http://127.0.0.1:{PUBLIC}",
}
VARIABLES: dict[str, Any] = {
    "tls_certificates": [{"name": "www", "issuer": "internal", "dns_names": [NAME]}],
    "tls_sites": [SITE],
}
# What sslyze's copy of the profile does not know yet: version 5.7 is older than the group that 6.0 puts first.
NEWER = {"tls_curves": f"TLS curves {{'{HYBRID}'}} are supported, but should be rejected."}


@pytest.fixture(scope="module")
def servers(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServers]:
    with web_servers(fleet, tmp_path_factory.mktemp("profile"), HOSTS) as bench:
        yield bench


@pytest.fixture
def intermediate(servers: WebServers) -> WebServers:
    """The servers with that profile."""
    servers.run({**VARIABLES, "tls_profile": "intermediate"}).check()
    return servers


def negotiated(fleet: Fleet, host: str, port: int, *options: str) -> str:
    """What openssl on the host itself tells of a handshake with one of its servers."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", NAME, *options]
    return fleet.exec(host, command, stdin="", check=False).stdout


@pytest.mark.parametrize("profile", ["modern", "intermediate"])
def test_sslyze_finds_nothing_wrong(servers: WebServers, profile: str) -> None:
    servers.run({**VARIABLES, "tls_profile": profile}).check()
    environment = venvs.ensure("sslyze")
    targets = [f"{servers.fleet.addresses[host]}:{port}" for host in servers.hosts for port, _unit in SERVERS.values()]
    root = servers.folder / "store" / "ca" / "internal" / "root-1.pem"
    program = [environment / "bin" / "python", Path(__file__).with_name("sslyze_scan.py"), profile, root]
    done = subprocess.run(
        [str(word) for word in (*program, *(f"{target}:{NAME}" for target in targets))],
        capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    issues = json.loads(done.stdout)

    assert sorted(issues) == sorted(targets)
    for target, found in issues.items():
        assert {key: words for key, words in found.items() if NEWER.get(key) != words} == {}, target


def test_the_hybrid_group_comes_first_where_openssl_has_it(intermediate: WebServers) -> None:
    for port, _unit in SERVERS.values():
        if "deb13" in intermediate.hosts:
            assert f"group: {HYBRID}" in negotiated(intermediate.fleet, "deb13", port)
            assert f"group: {HYBRID}" in negotiated(intermediate.fleet, "deb13", port, "-groups", HYBRID)
            assert "X25519, 253 bits" in negotiated(intermediate.fleet, "deb13", port, "-groups", "X25519")
        assert "X25519, 253 bits" in negotiated(intermediate.fleet, "deb12", port)


def test_who_has_an_old_openssl_sees_it_all_the_same(intermediate: WebServers, tmp_path: Path) -> None:
    """All that is accepted, hybrids among it, from here; and from the host, what a new OpenSSL agrees on by itself."""
    places = [(host, port) for host in intermediate.hosts for port, _unit in SERVERS.values()]
    wanted: list[Any] = [
        {"host": intermediate.fleet.addresses[host], "port": port, "server_name": NAME, "timeout": 60.0, "alpn": []}
        for host, port in places
    ]
    _changed, answer = handshake_step({"endpoints": wanted, "enumerate": True})
    for (host, port), said in zip(places, answer["results"]):
        accepts = read_accepts(said["accepts"])
        assert accepts is not None and accepts["error"] is None
        known = {HYBRID} if host == "deb13" else set()
        assert set(accepts["protocols"]["TLSv1.3"]["groups"]) == {"x25519", "secp256r1", "secp384r1", *known}, port
        assert said["post_quantum"] == (host == "deb13")
        judged = judge_accepts(accepts, ["mozilla_intermediate"])["mozilla_intermediate"]
        assert judged["conforms"], judged["violations"]
    local = [f"127.0.0.1:{port}" for port, _unit in SERVERS.values()]
    task = {"fleet.tls.endpoint_info": {"endpoints": local, "server_name": NAME, "origin": "host", "timeout": "60s"}}
    playbook = tmp_path / "seen.yml"
    playbook.write_text(json.dumps([{"hosts": list(intermediate.hosts), "gather_facts": False, "tasks": [task]}]))
    result = run_playbook(playbook, intermediate.fleet.inventory).check()
    for each in result.results(action="fleet.tls.endpoint_info", host="deb13") if "deb13" in intermediate.hosts else ():
        assert each["openssl"].startswith("3.5") and {seen["group"] for seen in each["endpoints"]} == {HYBRID}
    (old,) = result.results(action="fleet.tls.endpoint_info", host="deb12")
    assert old["openssl"].startswith("3.0") and {seen["group"] for seen in old["endpoints"]} == {"x25519"}


def test_the_client_chooses_among_what_is_allowed(intermediate: WebServers) -> None:
    for port, _unit in SERVERS.values():
        for wanted in ("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"):
            others = f"{wanted}:ECDHE-ECDSA-AES128-GCM-SHA256"
            shown = negotiated(intermediate.fleet, "deb12", port, "-tls1_2", "-cipher", others)
            assert re.findall(r"Cipher is (\S+)", shown) == [wanted]
        old = negotiated(intermediate.fleet, "deb12", port, "-tls1_1", "-cipher", "ALL@SECLEVEL=0")
        assert "Cipher is (NONE)" in old
