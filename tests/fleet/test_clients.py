# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mTLS clients on hosts of their own, and nginx, Apache and HAProxy that require client certificates and check revocation."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.client_trust import client_trust
from fleet.fleet import Fleet
from fleet.mtls_servers import PORTS, MtlsServers
from tools.playbook import PlaybookResult, run_playbook

SERVER, CLIENTS = "deb12", ("deb13", "deb12u")
CONNECTION = re.compile(r"<([0-9.]+)> ESTABLISH SSH CONNECTION FOR USER")
P12_PASSPHRASE = "a passphrase for Java"
ISSUERS = {"internal": {"type": "ca", "duration": "30d"}, "other": {"type": "ca", "duration": "30d"}}
# What each refuses a client with: nginx in HTTP, the others by a TLS alert or an end of the connection.
NGINX_REFUSES = "the server refused GET / with '400 Bad Request' (400 The SSL certificate error)"


@dataclass
class World:
    """One server host, two client hosts, and the store of their CAs."""

    fleet: Fleet
    folder: Path
    servers: MtlsServers

    @property
    def store(self) -> dict[str, str]:
        """As in an inventory."""
        return {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"}

    def issuers(self) -> dict[str, Issuer]:
        """The CAs themselves."""
        return load_issuers(ISSUERS, load_store(self.store))

    def variables(self, host: str) -> dict[str, Any]:
        """Of a host."""
        if host == SERVER:
            outputs = [{"path": "/etc/mtls/haproxy.pem", "format": "combined"}]
            certificate = {"name": "www", "issuer": "internal", "dns_names": ["mtls.test"], "outputs": outputs}
            return {"tls_certificates": [certificate]}
        outputs = [
            {"path": "/srv/app/client.pem", "format": "combined", "group": "mail", "mode": "0640"},
            {"path": "/srv/app/client.p12", "format": "pkcs12", "passphrase": P12_PASSPHRASE, "anchors": True},
        ]
        certificate = {
            "name": "app", "issuer": "internal", "dns_names": [f"{host}.test"], "usages": ["client_auth"],
            "outputs": outputs,
        }  # fmt: skip
        client = {
            "certificate": "app",
            "bundle": {"path": "/srv/app/ca.pem", "issuers": ["internal"], "group": "mail", "mode": "0640"},
            "endpoints": self.servers.endpoints("mtls.test"),
            "services": [{"name": "app", "reload": ["sh", "-c", "echo >> /srv/app/reloads"]}],
        }
        return {"tls_certificates": [certificate], "tls_clients": [client]}

    def run(
        self,
        playbook: str | Path = "fleet.tls.deploy",
        *args: str,
        hosts: tuple[str, ...] = CLIENTS,
        **changes: Any,
    ) -> PlaybookResult:
        """A playbook on hosts, with changed variables of the clients."""
        known = self.fleet.host_vars()
        chosen = {
            host: {**known[host], **self.variables(host), **({} if host == SERVER else changes)} for host in hosts
        }
        shared = {"tls_store": self.store, "tls_issuers": ISSUERS, "tls_trust_system": False, "tls_prove_timeout": "5s"}
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": chosen, "vars": shared}}))
        return run_playbook(playbook, inventory, args=args)

    def prove(self, host: str, **changes: Any) -> PlaybookResult:
        """The role client alone, on one host."""
        play = self.folder / "prove.yml"
        play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": ["fleet.tls.clients"]}]))
        return self.run(play, hosts=(host,), **changes)

    def trust(self, *names: str) -> None:
        """What the servers verify clients with from now on."""
        trust = client_trust(self.issuers(), names, {}, (), now(), revocation=True)
        self.servers.verify_clients_with(trust.bundle, trust.crls)

    def certificate(self, host: str, **changes: Any) -> list[dict[str, Any]]:
        """The client's certificate, changed."""
        return [{**self.variables(host)["tls_certificates"][0], **changes}]

    def leaf(self, host: str) -> str:
        """The live leaf of a client, PEM."""
        return self.fleet.exec(host, ["cat", "/etc/fleet-tls/live/app/cert.pem"]).stdout

    def reloads(self, host: str) -> int:
        """How often the client's program was told."""
        return len(self.fleet.exec(host, ["cat", "/srv/app/reloads"]).stdout.split("\n")) - 1


def now() -> dt.datetime:
    """The controller's clock."""
    return dt.datetime.now(dt.timezone.utc)


def proofs(result: PlaybookResult, host: str) -> dict[int, str | None]:
    """Port → what the server had against the client."""
    (task,) = result.results(host=host, action="fleet.tls.clients")
    (client,) = task["clients"].values()
    return {int(each["endpoint"].rpartition(":")[2]): each["error"] for each in client["proof"]}


def told(result: PlaybookResult, host: str) -> str:
    """What the client's task said."""
    (task,) = result.results(host=host, action="fleet.tls.clients")
    return str(task["msg"])


@pytest.fixture(scope="module")
def world(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one = World(fleet, tmp_path_factory.mktemp("client"), MtlsServers(fleet, SERVER))
    try:
        one.run(hosts=(SERVER,)).check()
        one.issuers()["other"].prepare(now())
        one.trust("internal")
        yield one
    finally:
        one.servers.clean()
        for host in (SERVER, *CLIENTS):
            fleet.exec(host, ["rm", "-rf", "/etc/fleet-tls", "/srv/app"])


@pytest.fixture
def accepted(world: World) -> World:
    """Every client has a certificate that all three servers take."""
    world.trust("internal")
    world.run("fleet.tls.deploy").check()
    return world


def test_clients_are_accepted_and_a_second_run_changes_nothing(accepted: World) -> None:
    second = accepted.run("fleet.tls.deploy", "-vvv", "--diff").check()
    visits = Counter(CONNECTION.findall(second.stdout))
    assert second.changed == 0
    for host in CLIENTS:
        # A refused client would be due, and its task would say so.
        assert second.results(host=host, action="fleet.tls.due_parts")[0]["due"] == []
        assert accepted.reloads(host) == 1
        assert visits[accepted.fleet.addresses[host]] == 1
    assert P12_PASSPHRASE not in second.stdout
    check = accepted.run("fleet.tls.deploy", "--check", "--diff").check()
    assert check.changed == 0


def test_the_files_are_what_programs_want(accepted: World) -> None:
    for host in CLIENTS:
        listing = accepted.fleet.exec(host, ["sh", "-c", "stat -L -c '%a %U %G %n' /srv/app/c*"]).stdout.splitlines()
        assert listing == [
            "640 root mail /srv/app/ca.pem", "600 root root /srv/app/client.p12", "640 root mail /srv/app/client.pem"
        ]  # fmt: skip
        command = ["openssl", "pkcs12", "-in", "/srv/app/client.p12", "-nodes", "-passin", "stdin"]
        shown = accepted.fleet.exec(host, command, stdin=P12_PASSPHRASE).stdout
        assert shown.count("BEGIN CERTIFICATE") == 3 and shown.count("BEGIN PRIVATE KEY") == 1
        assert accepted.fleet.exec(host, command, stdin="another", check=False).returncode != 0
        # A program of its own, with the files, the way others use them; how it ends is its own affair.
        address = f"{accepted.fleet.addresses[SERVER]}:{PORTS['haproxy']}"
        command = [
            "openssl",
            "s_client",
            "-connect",
            address,
            "-servername",
            "mtls.test",
            "-verify_return_error",
            "-quiet",
        ]
        command += [
            "-ign_eof",
            "-cert",
            "/srv/app/client.pem",
            "-cert_chain",
            "/srv/app/client.pem",
            "-key",
            "/srv/app/client.pem",
            "-CAfile",
            "/srv/app/ca.pem",
        ]
        done = accepted.fleet.exec(host, command, stdin="GET / HTTP/1.0\r\n\r\n", check=False)
        assert "haproxy takes it" in done.stdout, done


def test_a_new_passphrase_makes_the_file_anew_and_no_new_certificate(accepted: World) -> None:
    host = CLIENTS[0]
    before = accepted.leaf(host)
    outputs = [{**each} for each in accepted.variables(host)["tls_certificates"][0]["outputs"]]
    outputs[1]["passphrase"] = "a second passphrase"
    changes = {"tls_certificates": accepted.certificate(host, outputs=outputs)}
    assert accepted.run(hosts=(host,), **changes).check().changed == 1
    assert accepted.run(hosts=(host,), **changes).check().changed == 0 and accepted.leaf(host) == before
    command = ["openssl", "pkcs12", "-in", "/srv/app/client.p12", "-noout", "-passin", "stdin"]
    assert accepted.fleet.exec(host, command, stdin="a second passphrase").returncode == 0
    accepted.run(hosts=(host,)).check()


def test_a_revoked_client_is_refused_by_all_three_and_told_so(accepted: World) -> None:
    gone, stays = CLIENTS
    command = ["openssl", "x509", "-noout", "-serial"]
    printed = subprocess.run(command, input=accepted.leaf(gone), capture_output=True, text=True, check=True).stdout
    issuers = accepted.issuers()
    done = revoke(issuers, issuers["internal"].store, [printed.strip().partition("=")[2]], "key_compromise", now())
    assert done.warnings == ()
    accepted.trust("internal")

    refused, taken = accepted.prove(gone), accepted.prove(stays).check()

    assert proofs(taken, stays) == dict.fromkeys(PORTS.values())
    said = proofs(refused, gone)
    assert said[PORTS["nginx"]] == NGINX_REFUSES
    for name in ("apache", "haproxy"):
        assert said[PORTS[name]] == "the server refused with the TLS alert certificate_revoked"
    text = told(refused, gone)
    assert text.startswith(
        f"{gone}: client 'app': {accepted.fleet.addresses[SERVER]}:{PORTS['nginx']} (SNI mtls.test): "
    )
    assert "has current CRLs of it, and lists the certificate in none" in text
    # Another certificate is taken again.
    accepted.run("fleet.tls.deploy", "-e", "tls_force=true", hosts=(gone,)).check()
    assert accepted.reloads(gone) >= 2


def test_the_wrong_ca_is_refused_and_the_pair_before_comes_back(accepted: World) -> None:
    host = CLIENTS[0]
    before, reloads = accepted.leaf(host), accepted.reloads(host)
    wrong = accepted.certificate(host, issuer="other")

    refused = accepted.run(hosts=(host,), tls_certificates=wrong)

    said = proofs(refused, host)
    assert refused.rc == 2 and said[PORTS["nginx"]] == NGINX_REFUSES
    for name in ("apache", "haproxy"):
        assert said[PORTS[name]] == "the server refused with the TLS alert unknown_ca"
    assert "is live again; with that it is accepted" in told(refused, host)
    assert accepted.leaf(host) == before and accepted.reloads(host) == reloads
    assert before in accepted.fleet.exec(host, ["cat", "/srv/app/client.pem"]).stdout
    assert accepted.run(hosts=(host,)).check().changed == 0


def test_no_certificate_and_an_expired_one(accepted: World) -> None:
    host = CLIENTS[1]
    for lifetime in (30, 120, 480):
        short = accepted.certificate(host, duration=f"{lifetime}s", renew_before="1s")
        # On a busy machine it may have expired before it was proven.
        if accepted.run(hosts=(host,), tls_certificates=short, tls_force=True).rc == 0:
            break
    leaf = accepted.leaf(host)
    command = ["openssl", "x509", "-noout", "-checkend", "0"]
    while subprocess.run(command, input=leaf, capture_output=True, text=True, check=False).returncode == 0:
        time.sleep(1)

    said = proofs(accepted.prove(host), host)

    assert said[PORTS["nginx"]] == NGINX_REFUSES
    for name in ("apache", "haproxy"):
        assert said[PORTS[name]] == "the server refused with the TLS alert certificate_expired"
    missing = [{**accepted.variables(host)["tls_clients"][0], "certificate": "none"}]
    play = accepted.prove(host, tls_clients=missing, tls_certificates=[*short, {**short[0], "name": "none"}])
    assert "the certificate 'none' is not on this host" in told(play, host)
    accepted.run(hosts=(host,)).check()


def test_an_old_and_a_new_ca_side_by_side(accepted: World) -> None:
    old, new = CLIENTS
    both = {**accepted.variables(new)["tls_clients"][0]["bundle"], "issuers": ["internal", "other"]}
    client = [{**accepted.variables(new)["tls_clients"][0], "bundle": both}]
    accepted.trust("internal", "other")

    accepted.run(hosts=(new,), tls_certificates=accepted.certificate(new, issuer="other"), tls_clients=client).check()
    accepted.run(hosts=(old,)).check()

    issuers = [subprocess.run(["openssl", "x509", "-noout", "-issuer"], input=accepted.leaf(host), capture_output=True,
                              text=True, check=True).stdout for host in CLIENTS]  # fmt: skip
    assert "internal CA Issuing" in issuers[0] and "other CA Issuing" in issuers[1]
    assert accepted.fleet.exec(new, ["grep", "-c", "BEGIN", "/srv/app/ca.pem"]).stdout.strip() == "2"
    # Where the bundle loses the server's CA, the one before comes back.
    lost = [{**client[0], "bundle": {**both, "issuers": ["other"]}}]
    refused = accepted.run(hosts=(new,), tls_certificates=accepted.certificate(new, issuer="other"), tls_clients=lost)
    assert "the server's certificate is not accepted" in told(refused, new)
    assert "the bundle is as it was before; with that it is accepted" in told(refused, new)
    assert accepted.fleet.exec(new, ["grep", "-c", "BEGIN", "/srv/app/ca.pem"]).stdout.strip() == "2"
    accepted.run(hosts=(new,)).check()


def test_a_server_that_is_down(accepted: World) -> None:
    accepted.servers.stop()
    host = CLIENTS[0]
    refused = accepted.prove(host)
    assert set(proofs(refused, host).values()) == {"connection refused: nothing listens there"}
    assert "See that the server runs and can be reached from here" in told(refused, host)
