# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OCSP answers are stapled where the certificate names a responder (a real one, openssl's), and nothing is said of it where it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization

from fleet.fleet import Fleet
from fleet.web_servers import PUBLIC, SERVERS, ClientAuthority, WebServers, key_pem, web_servers

HOST = "deb13"
RESPONDER = 2560
STAPLED, PLAIN = 0, 1
SECONDS = 300
SITES = [
    {
        "name": name,
        "server_names": [f"{name}.test"],
        "certificate": name,
        "listen": port,
        "upstream": f"http://127.0.0.1:{PUBLIC}",
    }
    for name, port in (("stapled", STAPLED), ("plain", PLAIN))
]


@pytest.fixture(scope="module")
def servers(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServers]:
    """The servers with certificates of a CA that has a responder, on the host itself."""
    folder = tmp_path_factory.mktemp("stapling")
    authority = ClientAuthority(folder / "ca", "Authority with a responder")
    issued = {
        "stapled": authority.issue("stapled", dns_names=["stapled.test"], ocsp=f"http://127.0.0.1:{RESPONDER}"),
        "plain": authority.issue("plain", dns_names=["plain.test"]),
    }
    with web_servers(fleet, folder, [HOST]) as bench:
        index = []
        for name, (certificate, path) in issued.items():
            leaf = certificate.public_bytes(serialization.Encoding.PEM).decode()
            key = path.read_text().removeprefix(leaf)
            fleet.exec(HOST, ["mkdir", "-p", f"/etc/fleet-tls/live/{name}"])
            for file, text in (("cert.pem", leaf), ("fullchain.pem", leaf + authority.pem), ("privkey.pem", key)):
                fleet.exec(HOST, ["tee", f"/etc/fleet-tls/live/{name}/{file}"], stdin=text)
            index.append(
                f"V\t{certificate.not_valid_after_utc:%y%m%d%H%M%SZ}\t\t{certificate.serial_number:X}\tunknown\t/CN={name}\n"
            )
        for file, text in (
            ("ca.pem", authority.pem),
            ("ca.key", key_pem(authority.key).decode()),
            ("index.txt", "".join(index)),
        ):
            fleet.exec(HOST, ["tee", f"/etc/fleet-tls/{file}"], stdin=text)
        fleet.exec(
            HOST,
            ["systemd-run", "--unit=responder", "openssl", "ocsp", "-port", str(RESPONDER), "-index", "/etc/fleet-tls/index.txt",
             "-CA", "/etc/fleet-tls/ca.pem", "-rsigner", "/etc/fleet-tls/ca.pem", "-rkey", "/etc/fleet-tls/ca.key", "-nmin", "60"],
        )  # fmt: skip
        bench.run({"tls_sites": SITES}).check()
        yield bench
        fleet.exec(HOST, ["systemctl", "stop", "responder"])


def status(servers: WebServers, server: str, port: int, name: str) -> str:
    """What comes with the handshake, in openssl's words."""
    address = f"127.0.0.1:{SERVERS[server][0] + port}"
    command = ["openssl", "s_client", "-connect", address, "-servername", name, "-status"]
    shown = servers.fleet.exec(HOST, command, stdin="", check=False).stdout
    return (
        "stapled"
        if "OCSP Response Status: successful" in shown
        else "none"
        if "OCSP response: no response" in shown
        else shown
    )


@pytest.mark.parametrize("server", SERVERS)
def test_an_answer_is_stapled_where_there_is_a_responder(servers: WebServers, server: str) -> None:
    end = time.monotonic() + SECONDS
    # nginx fetches the answer for its first client, and gives it to those after it.
    while (seen := status(servers, server, STAPLED, "stapled.test")) != "stapled" and time.monotonic() < end:
        time.sleep(0.2)
    assert seen == "stapled"
    assert status(servers, server, PLAIN, "plain.test") == "none"


@pytest.mark.parametrize(
    ("check", "silent"),
    [
        (["nginx", "-t"], "stapling"),
        (["apachectl", "-t"], "stapling"),
        (["haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg"], "ocsp"),
        (["journalctl", "--no-pager", "-u", "nginx", "-u", "haproxy"], "stapl"),
        (["sh", "-c", "cat /var/log/nginx/error.log /var/log/apache2/error.log"], "stapl"),
    ],
)
def test_nobody_complains(servers: WebServers, check: list[str], silent: str) -> None:
    done = servers.fleet.exec(HOST, check)
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if silent in line.lower() and "successful" not in line
    ]
    assert said == []


def test_a_second_run_changes_nothing(servers: WebServers) -> None:
    assert servers.run({"tls_sites": SITES}).check().changed == 0
