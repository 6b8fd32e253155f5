# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that certbot, lego, dehydrated and openssl have looked after is taken over while it serves."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from acme_servers import pebble
from acme_servers.lineages import Lineages, Pair
from acme_servers.servers import Pair as ServerPair
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from demo import handshakes
from local.hosts import PASSPHRASE, ledger
from tools import paths
from tools.playbook import PlaybookResult, run_playbook
from tools.ports import free_port

SERVER = """
server {{
    listen 127.0.0.1:{port} ssl; server_name {domain}; return 200 "hello";
    ssl_certificate {certificate}; ssl_certificate_key {key};
}}
"""


class TakenOver:
    """A host with an nginx whose sites have their pairs from everywhere."""

    def __init__(self, folder: Path, ca: pebble.Pebble) -> None:
        self.folder, self.ca, self.port = folder, ca, free_port()
        self.lineages = Lineages(folder / "etc", ca)
        made = self.lineages
        certbot = made.certbot("certbot.example.com")
        self.pairs = [certbot, made.lego("lego.example.com"), made.dehydrated("dehydrated.example.com")]
        self.pairs += [
            made.openssl("openssl.example.com"),
            made.acme_sh("acmesh.example.com", made.openssl("acmesh.example.com")),
        ]
        self.nginx = NginxService(folder / "nginx")
        blocks = [
            SERVER.format(port=self.port, domain=each.domain, certificate=each.certificate, key=each.key)
            for each in self.pairs
        ]
        (self.nginx.conf / "sites.conf").write_text("".join(blocks))
        self.file = folder / "host_vars/web.yml"

    def run(self, playbook: str, *args: str, **variables: Any) -> PlaybookResult:
        """One of the playbooks, with what the inventory has by now."""
        described = {key: value for key, value in self.nginx.described().items() if key != "name"}
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_directory": str(self.folder / "fleet-tls"),
            "tls_store": {"path": str(self.folder / "store"), "passphrase": PASSPHRASE},
            "tls_issuers": {"internal": {"type": "ca"}},
            "tls_trust_system": False,
            "tls_prove_timeout": "60s",
            "tls_service_presets": {"own-nginx": {**described, "endpoints": [f"127.0.0.1:{self.port}"]}},
            "tls_adopt_configurations": {"own-nginx": [f"{self.nginx.conf}/**"]},
            "tls_adopt_paths": [str(self.folder / "etc")],
            "tls_check_paths": [str(self.folder / "etc")],
            "tls_check_fail_on": "never",
            **variables,
        }
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": {"hosts": {"web": host}}}))
        return run_playbook(playbook, path, args=args)

    def type(self, command: Sequence[str]) -> PlaybookResult:
        """What a guide says to type."""
        return self.run(command[0], *command[1:]).check()

    def sites(self) -> dict[str, handshakes.Site]:
        """All of them."""
        return {each.domain: handshakes.Site("127.0.0.1", self.port, each.domain) for each in self.pairs}

    def served(self) -> dict[str, str]:
        """Domain → SHA-256 of what is served for it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return {
            name: hashlib.sha256(handshakes.leaf(site, context, timeout=60)).hexdigest()
            for name, site in self.sites().items()
        }

    def comes_to_differ(self, served: dict[str, str], where: set[str]) -> bool:
        """Whether exactly these serve something else; after a reload, old workers answer for a while."""
        for _try in range(300):
            now = self.served()
            if {name for name in served if served[name] != now[name]} == where:
                return True
            time.sleep(0.2)
        return False

    def roots(self) -> Path:
        """All that clients of these sites have to trust."""
        selves = [each.certificate.read_text() for each in self.pairs if each.domain.startswith(("openssl", "acmesh"))]
        path = self.folder / "roots.pem"
        path.write_text("".join([self.ca.root(), *selves]))
        return path

    def state(self) -> dict[str, tuple[int, str]]:
        """Every file of the lineages: inode, and content or target."""
        return {
            str(path.relative_to(self.folder)): (
                path.lstat().st_ino,
                os.readlink(path) if path.is_symlink() else path.read_text(errors="replace"),
            )
            for path in sorted((self.folder / "etc").rglob("*"))
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, pair: ServerPair) -> Iterator[TakenOver]:
    folder = tmp_path_factory.mktemp("adopt")
    # dehydrated gives up at the first nonce that is refused.
    with pebble.running(folder / "pebble", pair, http_port=free_port(), env={"PEBBLE_WFE_NONCEREJECT": "0"}) as ca:
        found = TakenOver(folder, ca)
        with found.nginx:
            found.nginx.start()
            yield found


def kept(path: Path) -> Path:
    """Where what lay at a path is kept."""
    return path.parent / f".{path.name}.before-fleet-tls"


def typed(guide: str) -> list[list[str]]:
    """The commands of a guide: playbook and arguments."""
    text = (paths.ROOT / "docs/guides" / guide).read_text()
    return [shlex.split(each) for each in re.findall(r"\$ ansible-playbook -i inventory (.+)\n", text)]


def names(pairs: list[Pair]) -> set[str]:
    """Their domains, which become the certificates' names."""
    return {each.domain for each in pairs}


def test_a_host_is_taken_over_while_it_serves(host: TakenOver) -> None:
    find, foretell, take, deploy = typed("from-certbot.md")
    assert typed("from-community-crypto.md") == [find, foretell, take, deploy]
    before, served, orders = host.state(), host.served(), host.ca.orders
    assert orders == 3

    # Looked at, and written down for review.
    unmanaged = host.run("fleet.tls.check").check()
    assert "fleet.tls.adopt -l web" in unmanaged.stdout + json.dumps(unmanaged.task_results)
    look = host.type(find)
    text = (host.folder / "tls-adopt/web.yml").read_text()
    wanted = yaml.safe_load(text)["tls_certificates"]
    assert {each["name"] for each in wanted} == names(host.pairs), look.stdout
    assert all(each["services"] == ["own-nginx"] and len(each["outputs"]) == 2 for each in wanted)
    for program in ("certbot", "lego", "dehydrated", "acme.sh"):
        assert f"# {program} renews it still" in text
    assert host.state() == before
    host.nginx.calls()

    # Reviewed, foretold, and done, under handshakes.
    host.file.parent.mkdir()
    shutil.move(host.folder / "tls-adopt/web.yml", host.file)
    foretold = host.type(foretell)
    assert {each["action"] for each in foretold.results(action="fleet.tls.certificates")[0]["certificates"]} == {
        "adopt"
    }
    assert host.state() == before
    with handshakes.storm(host.sites(), host.roots()) as storm:
        taken = host.type(take)
    result = taken.results(action="fleet.tls.certificates")[0]
    assert {each["action"] for each in result["certificates"]} == {"adopt"}
    assert {each["generation"] for each in result["certificates"]} == {1}
    assert not result["unproven"]
    assert storm.done > 5 and not storm.failed, storm.failed[:3]
    assert set(host.nginx.calls()) == {"validate"}
    assert host.served() == served
    assert (
        host.ca.orders,
        ledger(host.folder / "store") if (host.folder / "store/ledger.sqlite3").exists() else [],
    ) == (orders, [])

    # The very same bytes under the same paths; what was there is kept, certbot's link as the link that it is.
    after = host.state()
    for each in host.pairs:
        for path in (each.certificate, each.key):
            name = str(path.relative_to(host.folder))
            assert os.path.realpath(path).startswith(str(host.folder / "fleet-tls/generations"))
            assert after[str(kept(path).relative_to(host.folder))] == before[name]
            real = (
                before[str(Path(os.path.realpath(path.parent / before[name][1])).relative_to(host.folder))]
                if kept(path).is_symlink()
                else before[name]
            )
            assert path.read_text() == real[1]
    untouched = {
        name: value
        for name, value in before.items()
        if not Path(host.folder / name).resolve().is_relative_to(host.folder / "fleet-tls")
    }
    assert untouched.items() <= after.items()

    # Nothing more to do, by any run.
    assert host.type(take).changed == 0
    again = host.type(deploy)
    assert [each["action"] for each in host_certificates(again)] in ([], ["none"] * len(host.pairs))
    checked = host.run("fleet.tls.check").check()
    assert host.served() == served and host.ca.orders == orders
    assert set(host.nginx.calls()) <= {"validate"}, checked.stdout

    # The next one is by the issuer that the inventory names, under the path that nginx has always had.
    host.run("fleet.tls.deploy", tls_force=["certbot.example.com"]).check()
    assert {row["issuer"] for row in ledger(host.folder / "store")} == {"internal"}
    assert host.comes_to_differ(served, {"certbot.example.com"})
    assert "reload" in host.nginx.calls()

    # And back: certbot's own links, and lego's own files.
    (certbot,) = (each for each in host.pairs if each.domain.startswith("certbot"))
    for each in wanted:
        if each["name"] == certbot.domain:
            each["state"] = "absent"
    host.file.write_text(yaml.safe_dump({"tls_certificates": wanted}))
    host.run("fleet.tls.deploy").check()
    assert os.readlink(certbot.certificate) == before[str(certbot.certificate.relative_to(host.folder))][1]
    assert host.comes_to_differ(served, set())


def host_certificates(result: PlaybookResult) -> list[dict[str, Any]]:
    """What the task did."""
    return [each for found in result.results(action="fleet.tls.certificates") for each in found.get("certificates", ())]
