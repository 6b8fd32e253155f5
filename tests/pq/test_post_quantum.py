# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-DSA beside ECDSA on nginx, Apache and HAProxy of Debian 13, and the clients that know both, or one. The tests of this file follow each other
in one world.

What offers ML-DSA is the host's own ``openssl``; the controller's Python may know none of it, as most clients today.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.file_formats import read_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_algorithm
from fleet.fleet import Fleet, Host
from fleet.web_servers import SERVERS, WebServers, client_context, web_servers
from tools.playbook import PlaybookResult, run_playbook

HOST = "pq13"
# Ports, counted from each server's first one.
TWO, CLOSED = 0, 1
NAME = "two.test"
CLASSICAL = "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256"
BOTH = f"mldsa65:{CLASSICAL}"
# What a client offers → the certificate that it is shown.
OFFERS = {"mldsa65": "www-pq", CLASSICAL: "www", BOTH: "www-pq"}
# HAProxy shows ML-DSA to those who offer neither ECDSA nor RSA; see docs/post-quantum.md.
OF_HAPROXY = {**OFFERS, BOTH: "www"}
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
# A host of this machine, whose OpenSSL does not know ML-DSA.
OLD = "old"
old_here = pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO >= (3, 5), reason="the OpenSSL of this machine knows ML-DSA")
# Runs on the host: clients that offer ML-DSA only, and trust what the host's bundle has at the moment.
STORM = f"""
count=0 failed=0
while ! test -e /root/storm.end; do
    count=$((count + 1))
    openssl s_client -connect 127.0.0.1:{SERVERS["nginx"][0] + TWO} -servername {NAME} -CAfile /root/bundle.pem -verify_return_error \\
        -sigalgs mldsa65 </dev/null >/root/storm.last 2>&1 || {{ failed=$((failed + 1)); cp /root/storm.last /root/storm.failed; }}
    sleep 0.1
done
echo $count $failed > /root/storm.new && mv /root/storm.new /root/storm.result
"""


@dataclass
class World:
    """The servers and what the inventory says at the moment."""

    servers: WebServers
    next_algorithm: str = "ecdsa-p256"
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the store and the inventory are."""
        return self.servers.folder

    def exec(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        """What a command on the host says."""
        return self.servers.fleet.exec(HOST, argv, stdin=stdin, check=check).stdout

    def variables(self, *servers: str) -> dict[str, Any]:
        """A site with two certificates from two CAs, and one for certified clients only; both kinds of clients."""
        services = [
            {
                "name": server,
                "endpoints": [{"host": "127.0.0.1", "port": SERVERS[server][0] + TWO, "server_name": NAME}],
            }
            for server in servers
        ]
        site = {
            "name": "two",
            "server_names": [NAME],
            "certificates": ["www", "www-pq"],
            "listen": TWO,
            "upstream": "http://127.0.0.1:8081",
        }
        closed = {**site, "name": "closed", "listen": CLOSED, "client_auth": "required"}
        ml_dsa = {"issuer": "next", "private_key": {"algorithm": "ml-dsa-65"}}
        client = {"usages": ["client_auth"]}
        return {
            "tls_issuers": {
                "internal": {"type": "ca", "duration": "30d"},
                "next": {"type": "ca", "duration": "30d", "key_algorithm": self.next_algorithm},
            },
            "tls_certificates": [
                {"name": "www", "issuer": "internal", "dns_names": [NAME], "services": services},
                {"name": "www-pq", "dns_names": [NAME], "services": services, **ml_dsa},
                {"name": "app", "issuer": "internal", "dns_names": ["app.test"], **client},
                {"name": "app-pq", "dns_names": ["app.test"], **ml_dsa, **client},
                {
                    "name": "large", "dns_names": ["large.test"], "issuer": "next", "private_key": {"algorithm": "ml-dsa-87"},
                    "outputs": [
                        {"path": "/root/large.p12", "format": "pkcs12", "passphrase": "of the tests"},
                        {"path": "/root/large.key", "format": "encrypted", "passphrase": "of the tests"},
                        {"path": "/root/large.pem", "format": "combined"},
                    ],
                },
                {
                    "name": "small", "dns_names": ["small.test"], "issuer": "next",
                    "private_key": {"algorithm": "ml-dsa-44", "location": "controller"},
                },
            ],
            "tls_sites": [site, closed],
            "tls_prove_timeout": "60s",
        }  # fmt: skip

    def run(self, *servers: str, **changes: Any) -> PlaybookResult:
        """The roles of these servers, or of all."""
        servers = servers or tuple(SERVERS)
        return self.servers.run({**self.variables(*servers), **changes}, servers=servers)

    def live(self, name: str, file: str = "cert.pem") -> str:
        """A file of a certificate."""
        return f"/etc/fleet-tls/live/{name}/{file}"

    def fingerprint(self, name: str) -> str:
        """Of the live certificate."""
        return self.exec("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", self.live(name)).strip()

    def client(self, server: str, port: int, *options: str) -> str:
        """What ``openssl s_client`` on the host says of a handshake that it verifies, and of the answer to a request."""
        address = f"127.0.0.1:{SERVERS[server][0] + port}"
        request = f"GET / HTTP/1.1\\r\\nHost: {NAME}\\r\\nConnection: close\\r\\n\\r\\n"
        script = (
            f"printf '{request}' | timeout 60 openssl s_client -connect {address} -servername {NAME} -CAfile /root/roots.pem"
            f" -verify_return_error -ign_eof {' '.join(options)} 2>&1"
        )
        return self.exec("sh", "-c", script, check=False)

    def shown(self, server: str, offer: str, *options: str) -> str | None:
        """The name of the certificate that a client is shown which offers these signatures; None: none."""
        said = self.client(server, TWO, "-sigalgs", offer, *options)
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        if begin not in said or "Verify return code: 0 (ok)" not in said:
            return None
        pem = begin + said.partition(begin)[2].partition(end)[0] + end + "\n"
        found = self.exec("openssl", "x509", "-noout", "-fingerprint", "-sha256", stdin=pem).strip()
        return next((name for name in ("www", "www-pq") if self.fingerprint(name) == found), "another one")

    def trust(self) -> None:
        """What the host's own client trusts: all roots of both CAs."""
        roots = sorted((self.folder / "store/ca").glob("*/root-*.pem"))
        self.exec("tee", "/root/roots.pem", stdin="".join(each.read_text() for each in roots))

    def playbook(self, name: str, *args: str, **variables: Any) -> PlaybookResult:
        """A playbook of the collection, on a host with nginx."""
        wanted = self.variables("nginx")
        shared = {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_web_server": "nginx",
            "tls_trust_system": False,
            "tls_trust_bundles": [{"path": "/root/bundle.pem"}],
            **wanted,
            "tls_sites": self.servers.sites("nginx", wanted["tls_sites"]),
        }
        inventory = self.folder / "rotation.json"
        inventory.write_text(
            json.dumps({"all": {"hosts": {**self.servers.fleet.host_vars(), **self.hosts}, "vars": shared}})
        )
        return run_playbook(f"fleet.tls.{name}", inventory, variables, args)

    def old_host(self, **variables: Any) -> dict[str, Any]:
        """A host of this machine, in a folder."""
        folder = self.folder / OLD
        folder.mkdir(exist_ok=True)
        return {
            "ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3", "tls_directory": str(folder / "tls"),
            "tls_sites": [], "tls_nginx": False, "tls_trust_bundles": [{"path": str(folder / "bundle.pem")}], **variables,
        }  # fmt: skip

    def signature(self, name: str) -> str:
        """How the live certificate is signed."""
        text = self.exec("openssl", "x509", "-noout", "-text", "-in", self.live(name))
        return text.partition("Signature Algorithm: ")[2].split()[0]

    @contextlib.contextmanager
    def classical_clients(self) -> Iterator[list[str]]:
        """Clients that know no ML-DSA, and trust the other CA only, one after the other; what failed, and last how many there were."""
        failed: list[str] = []
        end = threading.Event()
        address = (self.servers.fleet.addresses[HOST], SERVERS["nginx"][0] + TWO)

        def ask() -> None:
            count = 0
            while not end.is_set():
                for version in VERSIONS:
                    count += 1
                    context = ssl.create_default_context(cafile=str(self.folder / "store/ca/internal/root-1.pem"))
                    context.minimum_version = context.maximum_version = version
                    try:
                        with socket.create_connection(address, timeout=120) as plain:
                            context.wrap_socket(plain, server_hostname=NAME).close()
                    except OSError as error:
                        failed.append(f"{version.name}: {error}")
                end.wait(0.1)
            failed.append(str(count))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield failed
        finally:
            end.set()
            thread.join()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Fleet("pq", (Host(HOST, "trixie"),)) as fleet:
        with web_servers(fleet, tmp_path_factory.mktemp("pq"), [HOST]) as servers:
            made = World(servers)
            made.run(tls_defer_proof=True).check()
            made.run().check()
            made.trust()
            yield made


def test_each_client_is_shown_what_it_knows(world: World) -> None:
    for server in SERVERS:
        for offer, name in (OF_HAPROXY if server == "haproxy" else OFFERS).items():
            assert world.shown(server, offer) == name, (server, offer)
        # TLS 1.2 has no ML-DSA.
        assert world.shown(server, BOTH, "-tls1_2") == "www" and world.shown(server, "mldsa65", "-tls1_2") is None
        for version in VERSIONS:
            assert world.servers.ask(HOST, server, TWO, client_context(version), NAME).status == 200, (server, version)


def test_clients_with_ml_dsa_certificates_get_in_and_strangers_do_not(world: World) -> None:
    world.exec(
        "sh",
        "-c",
        "openssl req -x509 -newkey ML-DSA-65 -nodes -subj /CN=app.test -keyout /root/stranger.key -out /root/stranger.pem 2>&1",
    )
    strangers = ["-cert", "/root/stranger.pem", "-key", "/root/stranger.key"]
    for server in SERVERS:
        # What a client offers is what it takes of a server and what it signs with.
        for name, offer in (("app", CLASSICAL), ("app", BOTH), ("app-pq", BOTH), ("app-pq", "mldsa65")):
            chain, key = world.live(name, "fullchain.pem"), world.live(name, "privkey.pem")
            said = world.client(server, CLOSED, "-cert", chain, "-cert_chain", chain, "-key", key, "-sigalgs", offer)
            assert " 200 OK" in said, (server, name, offer, said[-400:])
        for options in ([], strangers):
            assert " 200 OK" not in world.client(server, CLOSED, *options), (server, options)


def test_keys_and_outputs_of_every_size(world: World) -> None:
    for name, size in (("small", 44), ("www-pq", 65), ("large", 87)):
        for what in (["x509", "-pubkey"], ["pkey", "-pubout"]):
            path = world.live(name, "privkey.pem" if what[0] == "pkey" else "cert.pem")
            public = world.exec(
                "openssl", what[0], "-noout" if what[0] == "x509" else "-pubout", *what[1:], "-in", path
            )
            assert f"ML-DSA-{size} Public-Key" in world.exec(
                "openssl", "pkey", "-pubin", "-noout", "-text", stdin=public
            )
        # A CA or a pair that openssl has made can be taken over.
        read = read_key(world.exec("cat", world.live(name, "privkey.pem")).encode(), None)
        assert key_algorithm(read.public_key()) == f"ml-dsa-{size}"
    passphrase = "pass:of the tests"
    for command in (
        ["pkcs12", "-in", "/root/large.p12", "-passin", passphrase, "-noenc"],
        ["pkey", "-in", "/root/large.key", "-passin", passphrase, "-text"],
        ["pkey", "-in", "/root/large.pem", "-text"],
    ):
        assert "PRIVATE KEY" in world.exec("openssl", *command)


def test_the_check_finds_nothing_and_again_changes_nothing(world: World) -> None:
    world.playbook("deploy").check()
    assert world.playbook("deploy").check().changed == 0
    checked = world.playbook("check", tls_check_files=False)
    assert checked.rc == 0, checked.stdout[-3000:]


@old_here
def test_a_host_that_does_not_know_ml_dsa_refuses_it_before_anything_is_made(world: World) -> None:
    wish = {"name": "pq", "issuer": "next", "dns_names": ["pq.test"], "private_key": {"algorithm": "ml-dsa-65"}}
    world.hosts = {OLD: world.old_host(tls_certificates=[wish])}
    refused = world.playbook("deploy", tls_hosts=OLD)
    (said,) = {each["msg"] for each in refused.results(host=OLD) if each.get("error")}
    assert "certificate 'pq'" in said and "ml-dsa-65 needs OpenSSL 3.5 or newer on the host, which has 3.0" in said
    assert not list((world.folder / OLD).glob("tls/pending/*")) and not list((world.folder / OLD).glob("tls/live/*"))


@old_here
def test_a_rollover_to_ml_dsa_waits_for_hosts_that_could_not_follow(world: World) -> None:
    world.next_algorithm = "ml-dsa-65"
    world.hosts = {OLD: world.old_host(tls_certificates=[])}
    held = world.playbook("rotate_ca", tls_rotate_issuer="next")
    assert held.rc != 0 and f"stays at 'prepare', held back by {OLD}" in held.stdout, held.stdout[-3000:]
    assert world.signature("www-pq") == "ecdsa-with-SHA256"


def test_a_ca_is_replaced_by_one_of_ml_dsa_and_no_client_fails(world: World) -> None:
    """A host that does not know it trusts the other CA alone, and is left whole."""
    world.next_algorithm = "ml-dsa-65"
    world.hosts = {OLD: world.old_host(tls_certificates=[], tls_trust_issuers=["internal"])}
    before = world.fingerprint("www")
    world.exec("tee", "/root/storm.sh", stdin=STORM)
    world.exec("systemd-run", "--unit=storm", "sh", "/root/storm.sh")
    with world.classical_clients() as failed:
        world.playbook("rotate_ca", tls_rotate_issuer="next").check()
    world.exec(
        "sh",
        "-c",
        "touch /root/storm.end; for i in $(seq 600); do test -e /root/storm.result && exit; sleep 0.1; done; exit 1",
    )
    count, missed = map(int, world.exec("cat", "/root/storm.result").split())
    assert missed == 0 and count > 10, world.exec("cat", "/root/storm.failed", check=False)[-2000:]
    assert len(failed) == 1 and int(failed[0]) > 10, failed
    world.trust()
    assert [world.signature(name) for name in ("www", "www-pq", "large")] == [
        "ecdsa-with-SHA256",
        "ML-DSA-65",
        "ML-DSA-65",
    ]
    assert world.fingerprint("www") == before
    for offer, name in OFFERS.items():
        assert world.shown("nginx", offer) == name, offer
    assert world.playbook("deploy").check().changed == 0
    # Apache and HAProxy get theirs from their roles.
    world.run().check()
    for server in ("apache", "haproxy"):
        assert world.shown(server, "mldsa65") == "www-pq", server
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        wish = {"name": "classical", "issuer": "next", "dns_names": ["classical.test"]}
        world.hosts = {OLD: world.old_host(tls_certificates=[wish], tls_trust_issuers=["internal"])}
        refused = world.playbook("deploy", tls_hosts=OLD)
        (said,) = {each["msg"] for each in refused.results(host=OLD) if each.get("error")}
        assert "its issuer signs with ml-dsa-65, which needs OpenSSL 3.5 or newer on the host" in said
