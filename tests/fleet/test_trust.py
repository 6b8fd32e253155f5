# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One CA, two at once, and the other: in the systems' trust stores of Debian 12 and 13, and in a bundle that an nginx reads."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from fleet.fleet import Fleet
from tools.playbook import PlaybookResult, run_playbook

HOSTS = ("deb12", "deb13")
BUNDLE = "/etc/trust-test/clients.pem"
SITE = """server {
  listen 8451 ssl;
  ssl_certificate /etc/fleet-tls/live/www/fullchain.pem;
  ssl_certificate_key /etc/fleet-tls/live/www/privkey.pem;
  ssl_client_certificate /etc/trust-test/clients.pem;
  ssl_verify_client on;
  ssl_verify_depth 2;
  location / { return 200 "taken"; }
}
"""
PLAY = [{"hosts": "all", "gather_facts": False, "roles": ["fleet.tls.ca", "fleet.tls.trust"]}]


@dataclass(frozen=True)
class World:
    """Two hosts with an nginx that verifies clients by the bundle, and a client of each CA."""

    fleet: Fleet
    folder: Path

    def run(self, playbook: str | Path = "", *args: str, **changes: Any) -> PlaybookResult:
        """The role trust, or another playbook."""
        play = self.folder / "play.yml"
        play.write_text(json.dumps(PLAY))
        name = {"issuer": "internal", "dns_names": ["{{ inventory_hostname }}.test"]}
        known = self.fleet.host_vars()
        variables = {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca"}, "other": {"type": "ca"}},
            "tls_certificates": [
                {**name, "name": "www"},
                {**name, "name": "old", "usages": ["client_auth"]},
                {**name, "name": "new", "usages": ["client_auth"], "issuer": "other"},
            ],
            "tls_trust_issuers": ["internal"],
            "tls_trust_bundles": [{"path": BUNDLE, "group": "www-data", "mode": "0640"}],
            "tls_trust_services": ["nginx"],
            **changes,
        }  # fmt: skip
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {host: known[host] for host in HOSTS}, "vars": variables}}))
        return run_playbook(playbook or play, inventory, args=args)

    def taken(self, host: str, client: str) -> bool:
        """Whether the host's nginx takes a client's certificate; asked again for a while, as old workers go late after a reload."""
        live = f"/etc/fleet-tls/live/{client}"
        command = ["openssl", "s_client", "-connect", "127.0.0.1:8451", "-quiet", "-ign_eof"]
        command += ["-cert", f"{live}/cert.pem", "-cert_chain", f"{live}/chain.pem", "-key", f"{live}/privkey.pem"]
        shown = self.fleet.exec(host, command, stdin="GET / HTTP/1.0\r\n\r\n", check=False).stdout
        return " 200 OK" in shown.partition("\n")[0] and "taken" in shown

    def comes_to_take(self, host: str, wanted: dict[str, bool]) -> bool:
        """Whether these clients come to be taken, or not, within the time that a reload may need."""
        end = time.monotonic() + 90
        while {client: self.taken(host, client) for client in wanted} != wanted:
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True

    def system_trusts(self, host: str, client: str) -> bool:
        """Whether the programs of the host trust the CA of a certificate, by the directory and by the file."""
        live = f"/etc/fleet-tls/live/{client}"
        stores = [
            ["-CApath", "/etc/ssl/certs", "-no-CAfile"],
            ["-CAfile", "/etc/ssl/certs/ca-certificates.crt", "-no-CApath"],
        ]
        command = ["openssl", "verify", "-untrusted", f"{live}/chain.pem", f"{live}/cert.pem"]
        done = {self.fleet.exec(host, [*command[:2], *store, *command[2:]], check=False).returncode for store in stores}
        assert len(done) == 1
        return done == {0}

    def files(self, host: str) -> str:
        """What there is of ours, with its time."""
        listing = "find /usr/local/share/ca-certificates /etc/trust-test /etc/ssl/certs -name *fleet-tls* -printf"
        return self.fleet.exec(host, [*listing.split(), "%p %l %T@\\n"]).stdout


def short_lived(seconds: int) -> str:
    """A root that is about to expire, PEM."""
    return to_pem(
        make_root("Partner", "ecdsa-p256", dt.datetime.now(dt.timezone.utc), dt.timedelta(seconds=seconds)).certificate
    )


@pytest.fixture(scope="module")
def world(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one = World(fleet, tmp_path_factory.mktemp("trust"))
    try:
        one.run("fleet.tls.deploy", tls_trust_services=[]).check()
        for host in HOSTS:
            fleet.exec(host, ["sh", "-c", "cat > /etc/nginx/conf.d/trust-test.conf"], stdin=SITE)
            fleet.exec(host, ["systemctl", "start", "nginx"])
        yield one
    finally:
        clean = """
        systemctl stop nginx
        rm -rf /etc/fleet-tls /etc/trust-test /etc/nginx/conf.d/trust-test.conf /usr/local/share/ca-certificates/fleet-tls-*
        update-ca-certificates
        """
        for host in HOSTS:
            fleet.exec(host, ["sh", "-c", clean])


def test_old_both_new(world: World) -> None:
    for issuers, old, new in (
        (["internal"], True, False),
        (["internal", "other"], True, True),
        (["other"], False, True),
    ):
        world.run(tls_trust_issuers=issuers).check()
        for host in HOSTS:
            assert world.comes_to_take(host, {"old": old, "new": new}), (host, issuers)
            assert (world.system_trusts(host, "old"), world.system_trusts(host, "new")) == (old, new)
        again = world.run("", "--diff", tls_trust_issuers=issuers).check()
        check = world.run("", "--check", tls_trust_issuers=issuers).check()
        assert again.changed == check.changed == 0


def test_an_anchor_that_expired_since_is_dropped_and_said_so(world: World) -> None:
    for lifetime in (30, 120, 480):
        end, partner = time.monotonic() + lifetime, {"partner": short_lived(lifetime)}
        results = world.run(tls_trust_anchors=partner).check().results(action="fleet.tls.trust_bundle")
        # On a busy machine it may have expired before the run came to it.
        if not any(each["expired"] for each in results):
            break
    for result in results:
        assert {each["source"] for each in result["anchors"]} == {"internal", "partner"} and not result["expired"]
    for host in HOSTS:
        assert "fleet-tls-partner-" in world.files(host)
    time.sleep(max(0.0, end + 1 - time.monotonic()))

    dropped = world.run(tls_trust_anchors=partner).check()

    for host in HOSTS:
        (result,) = dropped.results(host=host, action="fleet.tls.trust_bundle")
        assert result["changed"] and [each["subject"] for each in result["expired"]] == ["CN=Partner"]
        assert "the trust anchor 'CN=Partner' of 'partner' expired on" in result["warnings"][0]
        assert "partner" not in world.files(host) and result["services"]["nginx"]["state"] == "reloaded"
        assert world.fleet.exec(host, ["grep", "-c", "BEGIN", BUNDLE]).stdout.strip() == "1"
        assert world.comes_to_take(host, {"old": True, "new": False})
    assert world.run(tls_trust_anchors=partner).check().changed == 0


def test_the_last_root_leaves_the_systems_trust_store(world: World) -> None:
    """Other ways to want none are in the unit tests of the action; what a host does about it is the same."""
    changes: dict[str, Any] = {"tls_trust_system": False, "tls_trust_bundles": [], "tls_trust_services": []}
    world.run().check()
    assert all(world.system_trusts(host, "old") for host in HOSTS)
    world.run("fleet.tls.deploy", **changes).check()
    for host in HOSTS:
        assert not world.system_trusts(host, "old")
        assert "/usr/local/share/ca-certificates/fleet-tls" not in world.files(host)
    again = world.run("fleet.tls.deploy", **changes).check()
    # A look says that there is nothing to remove.
    assert again.changed == 0 and again.results(action="fleet.tls.trust_bundle") == []


def test_never_an_empty_bundle(world: World) -> None:
    world.run().check()
    before = {host: world.files(host) for host in HOSTS}
    gone = {"partner": short_lived(0)}

    refused = world.run(tls_trust_issuers=[], tls_trust_anchors=gone)

    for host in HOSTS:
        (result,) = refused.results(host=host, action="fleet.tls.trust_bundle")
        assert "every trust anchor has expired (CN=Partner)" in result["msg"]
        assert world.files(host) == before[host] and world.comes_to_take(host, {"old": True})


def test_a_service_that_refuses_the_bundle_goes_on_with_the_one_before(world: World) -> None:
    world.run().check()
    for host in HOSTS:
        world.fleet.exec(host, ["sh", "-c", "cat > /etc/nginx/conf.d/theirs.conf"], stdin="oops on;\n")
    try:
        refused = world.run(tls_trust_issuers=["internal", "other"], tls_trust_system=False)
        for host in HOSTS:
            (result,) = refused.results(host=host, action="fleet.tls.trust_bundle")
            assert (
                'unknown directive "oops"' in result["msg"] and "the bundles are as they were before" in result["msg"]
            )
            assert world.fleet.exec(host, ["grep", "-c", "BEGIN", BUNDLE]).stdout.strip() == "1"
            assert world.comes_to_take(host, {"old": True, "new": False})
    finally:
        for host in HOSTS:
            world.fleet.exec(host, ["rm", "-f", "/etc/nginx/conf.d/theirs.conf"])
    world.run(tls_trust_issuers=["internal", "other"], tls_trust_system=False).check()
    for host in HOSTS:
        assert world.comes_to_take(host, {"old": True, "new": True})
