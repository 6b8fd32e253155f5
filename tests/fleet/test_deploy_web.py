# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.tls.deploy on a fleet with one of each web server: proven, one visit a host when nothing is due, and put back when it fails."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import handshakes
from fleet.fleet import Fleet
from fleet.web_servers import PUBLIC, WebServers, web_servers
from tools.playbook import PlaybookResult, run_playbook

SERVERS = {"deb12": "apache", "deb13": "haproxy", "deb12u": "nginx"}
UNITS = {"nginx": "nginx", "apache": "apache2", "haproxy": "haproxy"}
# What each server is configured by: with these as before, it is configured as before.
CONFIGURATION = {
    "nginx": "find /etc/nginx -type f -o -type l",
    "apache": "find /etc/apache2 -type f -o -type l",
    "haproxy": "find /etc/haproxy -type f -o -type l",
}
CONNECTION = re.compile(r"<([0-9.]+)> ESTABLISH SSH CONNECTION FOR USER")
SSHD = 22


def variables(folder: Path) -> dict[str, Any]:
    """Of all hosts; only ``tls_web_server`` is each one's own."""
    name = "{{ inventory_hostname }}.test"
    return {
        "tls_store": {"path": str(folder / "store"), "passphrase": "a passphrase of the tests"},
        "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
        "tls_certificates": [
            {"name": "www", "issuer": "internal", "dns_names": [name], "services": ["{{ tls_web_server }}"]}
        ],
        "tls_sites": [
            {"name": "www", "server_names": [name], "certificate": "www", "upstream": f"http://127.0.0.1:{PUBLIC}",
             "redirect": True, "client_auth": "optional"}
        ],
        "tls_prove_timeout": "30s",
    }  # fmt: skip


def deploy(bench: WebServers, changes: dict[str, Any] | None = None, *args: str) -> PlaybookResult:
    """The playbook, with some variables changed."""
    hosts = {
        name: {**values, "tls_web_server": SERVERS[name]}
        for name, values in bench.fleet.host_vars().items()
        if name in bench.hosts
    }
    inventory = bench.folder / "inventory.json"
    given = {**variables(bench.folder), **(changes or {})}
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": given}}))
    return run_playbook("fleet.tls.deploy", inventory, args=args)


@pytest.fixture(scope="module")
def bench(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServers]:
    with web_servers(fleet, tmp_path_factory.mktemp("deploy-web"), tuple(SERVERS)) as servers:
        deploy(servers).check()
        yield servers


def served(bench: WebServers, host: str) -> str:
    """Fingerprint of what a client that trusts the CA is served."""
    context = ssl.create_default_context(cafile=str(bench.folder / "store" / "ca" / "internal" / "root-1.pem"))
    site = handshakes.Site(bench.fleet.addresses[host], 443, f"{host}.test")
    return hashlib.sha256(handshakes.leaf(site, context)).hexdigest()


def configuration(bench: WebServers, host: str) -> str:
    """Every file of a host's server with its digest, and every link with its target."""
    find = CONFIGURATION[SERVERS[host]]
    each = 'while read -r file; do echo "$file $(readlink "$file" || sha256sum < "$file")"; done'
    return bench.fleet.exec(host, ["sh", "-c", f"{find} | sort | {each}"]).stdout


def issued(result: PlaybookResult, host: str) -> str:
    """The fingerprint that a run installed."""
    found = [
        certificate["fingerprint_sha256"]
        for each in result.results(host=host)
        for certificate in each.get("certificates", ())
        if certificate["fingerprint_sha256"]
    ]
    return str(found[-1])


def test_again_changes_nothing_in_one_visit(bench: WebServers) -> None:
    again = deploy(bench, None, "-vvv").check()
    visits = Counter(CONNECTION.findall(again.stdout))

    assert again.changed == 0
    assert set(visits) == {bench.fleet.addresses[host] for host in bench.hosts}
    assert max(visits.values()) == 1
    for host in bench.hosts:
        manifest = bench.fleet.exec(host, ["cat", "/etc/fleet-tls/live/www/manifest.json"]).stdout
        assert served(bench, host) == json.loads(manifest)["fingerprint"]


def test_what_a_server_does_not_take_is_put_back(bench: WebServers) -> None:
    """A new pair together with sites of which one is on a port that sshd has: no server's own check knows, ours does."""
    before = {host: configuration(bench, host) for host in bench.hosts}
    old = {host: served(bench, host) for host in bench.hosts}
    sites = variables(bench.folder)["tls_sites"]
    taken = [*sites, {**sites[0], "name": "taken", "listen": SSHD}]
    failed = deploy(bench, {"tls_sites": taken, "tls_force": True, "tls_prove_timeout": "8s"})

    for host in bench.hosts:
        assert failed.stats[host]["failures"] == 1, host
        (words,) = [each["msg"] for each in failed.results(host=host) if each.get("error")]
        assert "port 22 is held by 'sshd" in words, words
        assert configuration(bench, host) == before[host], host
        # The new pair was proven before, with the configuration that is back now.
        assert served(bench, host) == issued(failed, host) != old[host], host
        assert bench.fleet.exec(host, ["systemctl", "is-active", UNITS[SERVERS[host]]]).stdout == "active\n"
    assert deploy(bench).check().changed == 0


def test_check_mode_tells_and_does_nothing(bench: WebServers) -> None:
    before = {host: configuration(bench, host) for host in bench.hosts}
    sites = [{**site, "hsts": "2y"} for site in variables(bench.folder)["tls_sites"]]
    checked = deploy(bench, {"tls_sites": sites}, "--check", "--diff").check()

    assert checked.stdout.count("max-age=63072000") == len(bench.hosts)
    for host in bench.hosts:
        assert configuration(bench, host) == before[host]


def test_without_sites_the_servers_are_as_they_were(bench: WebServers) -> None:
    deploy(bench, {"tls_sites": []}).check()
    for host in bench.hosts:
        marked = bench.fleet.exec(host, ["sh", "-c", "grep -c fleet.tls /etc/haproxy/haproxy.cfg || true"]).stdout
        assert marked.strip() == "0"
        bench.fleet.exec(host, ["dpkg", "--verify", "haproxy"])
    assert deploy(bench, {"tls_sites": []}).check().changed == 0


def test_sessions_of_verified_clients_stay_out_of_a_shared_cache(bench: WebServers) -> None:
    """A revoked client would resume the one that it left there. Of these servers, Apache alone could have such a cache."""
    refused = deploy(bench, {"tls_session_cache": "redis:127.0.0.1:6379"}, "--limit", "deb12")
    assert (refused.rc, refused.changed) == (2, 0)
    assert "sites that verify their clients cannot keep sessions in Redis" in refused.stdout


def test_an_unknown_server_is_refused_before_anything_is_touched(bench: WebServers) -> None:
    refused = deploy(bench, {"tls_force": True}, "-e", "tls_web_server=caddy")
    assert {each["failures"] for each in refused.stats.values()} == {1}
    assert refused.changed == 0
    assert "'caddy' is unknown. Known: nginx, apache, haproxy" in refused.stdout
