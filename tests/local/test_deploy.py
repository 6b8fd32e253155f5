# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook fleet.tls.deploy and the roles in it, as a user runs them, with an nginx of the test's own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import HandshakeError, served_leaf
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from tools.playbook import PlaybookResult, run_playbook
from tools.ports import free_port

DEPLOY = "fleet.tls.deploy"


@dataclass
class World:
    """One host: this machine, with everything below one directory."""

    folder: Path
    nginx: NginxService
    port: int = field(default_factory=free_port)
    passphrase: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def directory(self) -> Path:
        return self.folder / "fleet-tls"

    def variables(self) -> dict[str, Any]:
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_store": {"path": str(self.folder / "store"), "passphrase": self.passphrase},
            "tls_issuers": {"internal": {"type": "ca"}},
            "tls_directory": str(self.directory),
            "tls_trust_system": False,
            "tls_trust_bundles": [{"path": str(self.folder / "bundle.pem")}],
            "tls_certificates": [
                {"name": "www", "issuer": "internal", "dns_names": ["www.example.com"], "services": [self.service()]}
            ],
            "tls_sites": [self.site()],
            "tls_nginx_directory": str(self.nginx.folder),
            "tls_nginx_service": self.nginx.described(),
        }

    def service(self) -> dict[str, Any]:
        return {**self.nginx.described(), "endpoints": [f"127.0.0.1:{self.port}"]}

    def site(self) -> dict[str, Any]:
        listen = [f"127.0.0.1:{self.port}"]
        return {
            "name": "www",
            "server_names": ["www.example.com"],
            "certificate": "www",
            "listen": listen,
            "root": "/srv",
        }

    def run(self, playbook: str | Path = DEPLOY, *args: str, extra: Any = None, **changes: Any) -> PlaybookResult:
        """Run a playbook on hosts that have these variables; a key of ``changes`` that is None takes the variable away."""
        hosts = changes.pop("hosts", {"web1": {}})
        known = {key: value for key, value in {**self.variables(), **changes}.items() if value is not None}
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": known}}))
        return run_playbook(playbook, inventory, extra, args)

    def play(self, *tasks: dict[str, Any], args: tuple[str, ...] = (), **changes: Any) -> PlaybookResult:
        playbook = self.folder / "play.yml"
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]))
        return self.run(playbook, *args, **changes)

    def live(self) -> str:
        """SHA-256 of the live leaf, as the manifest has it."""
        return json.loads((self.directory / "live" / "www" / "manifest.json").read_text())["fingerprint"]

    def served(self) -> str | None:
        try:
            return hashlib.sha256(served_leaf("127.0.0.1", self.port, "www.example.com", 3)).hexdigest()
        except HandshakeError:
            return None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with NginxService(tmp_path / "nginx") as nginx:
        yield World(tmp_path, nginx)


def text(result: PlaybookResult) -> str:
    return result.stdout + result.stderr


def messages(result: PlaybookResult) -> str:
    return " ".join(str(each["result"].get("msg", "")) for each in result.task_results if each["status"] == "failed")


def test_from_nothing_to_a_proven_site_and_then_nothing_to_do(world: World) -> None:
    first = world.run(DEPLOY, "-vvvvv", "--diff").check()
    assert world.served() == world.live()
    assert first.results(action="fleet.tls.certificates")[-1]["unproven"] == []
    assert (world.folder / "bundle.pem").read_text().startswith("# CN=internal CA")
    second = world.run(DEPLOY, "-vvvvv", "--diff").check()
    assert second.changed == 0
    assert world.nginx.pid() and "BEGIN PRIVATE KEY" not in text(first) + text(second)
    assert world.passphrase not in text(first) + text(second)
    # One round trip: trust, certificates, nginx.
    assert second.stdout.count("exec(sys.stdin.buffer.read(") == 1 and "Using module file" not in second.stdout
    steps = [each for each in second.task_results if each["action"].startswith("fleet.tls.") and each["status"] == "ok"]
    assert [each["action"] for each in steps] == ["fleet.tls.due_parts"]


def test_check_mode_on_a_fresh_host_touches_nothing(world: World) -> None:
    before = sorted(world.folder.rglob("*"))
    result = world.run(DEPLOY, "--check", "--diff").check()
    assert result.changed == 4
    made = set(world.folder.rglob("*")) - set(before) - {world.folder / "inventory.json"}
    assert made == set()
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in result.stdout and "names: www.example.com" in result.stdout


def test_check_mode_with_nothing_to_do_changes_nothing(world: World) -> None:
    world.run().check()
    assert world.run(DEPLOY, "--check").check().changed == 0


def test_a_forced_rotation_is_one_certificate_and_is_served(world: World) -> None:
    world.run().check()
    before = world.live()
    world.run(extra={"tls_force": True}).check()
    assert world.live() != before and world.served() == world.live()
    manifest = json.loads((world.directory / "live" / "www" / "manifest.json").read_text())
    assert (world.directory / "live" / "www").resolve().name == "2" and manifest["settled"]


def test_sites_come_and_go(world: World) -> None:
    world.run().check()
    second = {
        **world.site(),
        "name": "api",
        "server_names": ["api.example.com"],
        "root": None,
        "upstream": "http://127.0.0.1:9",
    }
    sites = world.nginx.conf / "zz-fleet-tls.conf"
    both = world.run(tls_sites=[world.site(), second]).check()
    assert both.changed == 1 and "server_name api.example.com;" in sites.read_text()
    theirs = world.nginx.conf / "theirs.conf"
    theirs.write_text(f"server {{ listen 127.0.0.1:{free_port()}; }}\n")
    # What nginx no longer serves cannot be proven: the certificate has no service any more.
    without = [{"name": "www", "issuer": "internal", "dns_names": ["www.example.com"]}]
    assert world.run(tls_sites=[], tls_certificates=without).check().changed >= 1
    assert not sites.exists() and theirs.exists()
    assert world.run(tls_sites=[], tls_certificates=without).check().changed == 0
    untold = world.run(tls_sites=None, tls_certificates=without).check()
    assert all("skip_reason" in each for each in untold.results(action="fleet.tls.service_config"))


def tls_1_2(world: World) -> str | None:
    """The cipher suite that a client of TLS 1.2, which trusts the bundle, comes to; None: it is turned away."""
    context = ssl.create_default_context(cafile=str(world.folder / "bundle.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", world.port), 3) as plain, contextlib.suppress(ssl.SSLError):
        with context.wrap_socket(plain, server_hostname="www.example.com") as connection:
            return str((connection.cipher() or [None])[0])
    return None


def test_profiles_are_what_is_negotiated(world: World) -> None:
    world.run().check()
    assert (tls_1_2(world) or "").startswith("ECDHE-ECDSA-")
    world.run(tls_profile="modern").check()
    assert tls_1_2(world) is None and world.served() == world.live()


def test_a_site_that_nginx_refuses_keeps_the_old_ones(world: World) -> None:
    world.run().check()
    fingerprint = world.live()
    (world.nginx.conf / "theirs.conf").write_text("their_mistake on;\n")
    sites = world.nginx.conf / "zz-fleet-tls.conf"
    before = sites.read_text()
    result = world.run(tls_sites=[{**world.site(), "hsts": "1m"}])
    assert result.rc != 0
    assert "web1: service 'own-nginx': " in messages(result) and 'unknown directive "their_mistake"' in messages(result)
    assert "it was failing already before this change" in messages(result)
    assert sites.read_text() == before and world.served() == fingerprint


def test_bad_sites_are_refused_by_name(world: World) -> None:
    result = world.run(tls_sites=[{**world.site(), "upstream": "http://127.0.0.1:9"}])
    assert result.rc != 0 and "tls_sites: site 'www': give either root (a directory) or upstream (a URL)" in text(
        result
    )
    assert not (world.nginx.conf / "zz-fleet-tls.conf").exists()


def test_one_host_that_fails_stops_no_other_and_is_said_at_the_end(world: World) -> None:
    wrong = {"tls_trust_bundles": [{"path": "/proc/nowhere/bundle.pem"}]}
    # Its own directory, and no nginx: that is web1's.
    plain = {"name": "www", "issuer": "internal", "dns_names": ["bad.example.com"]}
    own = {"tls_directory": str(world.folder / "bad"), "tls_certificates": [plain], "tls_nginx": False}
    hosts = {
        "bad": {**wrong, **own},
        "worse": {"tls_certificates": [{"name": "x", "issuer": "y"}]},
        "web1": {},
    }
    result = world.run(hosts=hosts)
    assert result.rc != 0
    assert {name: bool(stats["failures"]) for name, stats in result.stats.items()} == {
        "bad": True,
        "worse": True,
        "web1": False,
    }
    assert world.served() == world.live()
    # The one whose trust failed has got its certificate all the same.
    (kept,) = result.results(host="bad", action="fleet.tls.certificates")[:1]
    assert kept["certificates"][0]["installed"]


def test_batches_through_import_playbook(world: World) -> None:
    folders = {f"host{number}": world.folder / f"host{number}" for number in (1, 2, 3)}
    # They are one machine: two that write one file at the same moment are in each other's way.
    hosts = {
        host: {"tls_directory": str(folder), "tls_trust_bundles": [{"path": f"{folder}.pem"}]}
        for host, folder in folders.items()
    }
    site = world.folder / "site.yml"
    site.write_text(json.dumps([{"import_playbook": DEPLOY, "vars": {"tls_serial": 2, "tls_hosts": "host*:!host1"}}]))
    changes = {
        "tls_sites": None,
        "tls_certificates": [{"name": "a", "issuer": "internal", "dns_names": ["a.example.com"]}],
    }
    result = world.run(site, hosts=hosts, **changes).check()
    assert sorted(result.stats) == ["host2", "host3"]
    result = world.run(DEPLOY, hosts=hosts, extra={"tls_serial": 1}, **changes).check()
    assert result.stdout.count("PLAY [Deploy TLS]") == 3


def test_templates_are_found_and_rendered_as_the_template_module_does(world: World) -> None:
    templates = world.folder / "templates"
    templates.mkdir()
    (templates / "part.j2").write_text("included {{ mine }}\n")
    source = "# {{ ansible_managed }}\n{% for each in [1, 2] %}\n{{ each }} {{ inventory_hostname }}\n{% endfor %}\n{% include 'part.j2' %}"
    (templates / "all.j2").write_text(source)
    mine, theirs = world.folder / "mine.conf", world.folder / "theirs.conf"
    result = world.play(
        {
            "fleet.tls.service_config": {
                "service": {"name": "own", "reload": ["true"]},
                "directory": str(world.directory),
                "files": [{"path": str(mine), "template": "all.j2", "vars": {"mine": "value"}}],
            }
        },
        {"ansible.builtin.template": {"src": "all.j2", "dest": str(theirs), "mode": "0644"}, "vars": {"mine": "value"}},
    ).check()
    assert result.changed == 2
    assert mine.read_text() == theirs.read_text() == "# Ansible managed\n1 web1\n2 web1\nincluded value"


REFUSED_BY_SERVICE_CONFIG = [
    ({"files": [{"path": "/x/y", "template": "no.j2"}]}, "there is no template 'no.j2'"),
    ({"files": [{"path": "x"}]}, "'x' is not an absolute path"),
    ({"files": [{"path": "/x/y"}]}, "/x/y has no source. Give one of template, content, link"),
    ({"files": [{"path": "/x/y", "content": "", "mode": "999"}]}, "'999' is not a file mode"),
    ({"files": [{"path": "/x/y", "content": "", "link": "z"}]}, "mutually exclusive"),
    ({"files": [{"path": "/x/y", "content": ""}, {"path": "/x/y", "state": "absent"}]}, "two entries have the path"),
    ({"files": [], "service": "ngnix"}, "'ngnix' is unknown. Did you mean 'nginx'"),
    ({"files": [{"path": "/x/y", "template": "broken.j2"}]}, "nowhere_defined"),
]
REFUSED_BY_TRUST_BUNDLE = [
    ({"anchors": {"corp": "-----BEGIN CERTIFICATE-----\nQUJD\n"}}, "anchor 'corp': not a complete PEM certificate"),
    ({"from_issuers": ["intern"]}, "from_issuers: 'intern' is unknown. Did you mean 'internal'"),
    ({}, "there is no trust anchor to install (asked: internal). Create the CA first"),
]


def test_bad_input_is_refused_before_anything_is_touched(world: World) -> None:
    (world.folder / "broken.j2").write_text("{{ nowhere_defined }}")
    bundle = world.folder / "bundle.pem"
    service = {"service": {"name": "own", "reload": ["true"]}}
    trust = {"store": "{{ tls_store }}", "issuers": "{{ tls_issuers }}", "bundles": [{"path": str(bundle)}]}
    tasks = [{"fleet.tls.service_config": {**service, **options}} for options, _words in REFUSED_BY_SERVICE_CONFIG]
    tasks += [{"fleet.tls.trust_bundle": {**trust, **options}} for options, _words in REFUSED_BY_TRUST_BUNDLE]
    result = world.play(*({**task, "ignore_errors": True} for task in tasks))
    said = [str(each["result"].get("msg", "")) for each in result.task_results]
    for (_options, words), message in zip([*REFUSED_BY_SERVICE_CONFIG, *REFUSED_BY_TRUST_BUNDLE], said, strict=True):
        assert words in message
    assert all(each["status"] == "ignored" for each in result.task_results)
    assert not Path("/x").exists() and not bundle.exists() and not world.directory.exists()


def test_secrets_stay_out_of_the_roles_complaints(world: World) -> None:
    for store in (
        [world.passphrase],
        {"path": "relative", "passphrase": world.passphrase, "passphras": world.passphrase},
    ):
        result = world.run(DEPLOY, "-vvvvv", tls_store=store)
        assert result.rc != 0 and world.passphrase not in text(result)
