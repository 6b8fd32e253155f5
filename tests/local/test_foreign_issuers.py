# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuers that are not this collection's: another collection's by its full name, a shell script, and places where others put pairs.

The examples are those of the docs, word for word.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.fleet.tls.tests.unit.support.given import DAY, Makers, server_pair
from ansible_collections.fleet.tls.tests.unit.support.https_files import https_files
from ansible_collections.fleet.tls.tests.unit.support.openssl_ca import OpensslCa
from local.hosts import ISSUERS, Hosts, entry, ledger, message, serving
from tools import paths
from tools.playbook import PlaybookResult, run_playbook

SECRET = "s3cret-of-the-issuer-9d1f"


def documented(page: str, language: str) -> str:
    """The first block of a language on a page below docs/issuers/."""
    found = re.search(rf"```{language}\n(.*?)```", (paths.ROOT / "docs/issuers" / page).read_text(), re.DOTALL)
    assert found, page
    return found[1]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    names = ("theirs", "script", "files", "web", "good")
    hosts = Hosts(tmp_path_factory.mktemp("foreign"), {name: ["www"] for name in names})
    hosts.issue()
    with serving(*hosts):
        yield hosts


@pytest.fixture(scope="module")
def ca(hosts: Hosts) -> OpensslCa:
    return OpensslCa(hosts.folder / "ca")


def play(hosts: Hosts, issuers: dict[str, Any], *names: str, **options: Any) -> PlaybookResult:
    """The task on these hosts and on one of the internal CA's, as loudly as Ansible can be."""
    wishes: dict[str, Any] = {
        name: {"tls_certificates": [hosts[name].certificate(issuer=name, **options.pop("wish", {}))]} for name in names
    }
    collections = f"{paths.COLLECTIONS}:{hosts.folder / 'collections'}"
    return run_playbook(
        hosts.playbook(issuers={**issuers, **ISSUERS}, **options),
        hosts.inventory({**wishes, "good": {}}),
        args=["-vvvvv", "--diff"],
        env={"ANSIBLE_COLLECTIONS_PATH": collections},
    )


def test_another_collections_issuer(hosts: Hosts, ca: OpensslCa) -> None:
    module = hosts.folder / "collections/ansible_collections/example/pki/plugins/sub_plugins/issuer/signer.py"
    module.parent.mkdir(parents=True)
    module.write_text(documented("own.md", "python"))
    files = {"certificate": ca.folder / "issuing.pem", "key": ca.folder / "issuing.key", "anchors": ca.root}
    options = {"type": "example.pki.signer", **{name: str(path) for name, path in files.items()}}
    run = play(hosts, {"theirs": options}, "theirs").check()
    site = hosts["theirs"]
    assert entry(run, "theirs")["issuer"] == "theirs" and site.served(ca.root) == site.on_disk()
    assert [row["issuer"] for row in ledger(hosts.store) if row["fingerprint"] == site.on_disk()] == ["theirs"]
    assert play(hosts, {"theirs": options}, "theirs").check().changed == 0

    # It comes to grief: the certificate stays, the other host goes on, and nothing that it had in hands is told.
    module.write_text(module.read_text().replace("(ca,) = parse_pem_chain", f"raise KeyError('{SECRET}')  # "))
    before = site.on_disk()
    broken = play(hosts, {"theirs": options}, "theirs", force=True)
    words = message(broken, "theirs")
    assert re.search(r"issuer 'theirs' broke: KeyError at signer.py:[0-9]+", words) and ". Kept: generation 2" in words
    assert SECRET not in broken.stdout + broken.stderr and "Traceback" not in broken.stdout + broken.stderr
    assert site.served(ca.root) == site.on_disk() == before
    assert broken.stats["good"]["failures"] == 0 and broken.stats["good"]["changed"] == 1

    for text, complaint in (
        ("import no_such_package", "needs the Python package 'no_such_package' on the controller"),
        (f"x = '{SECRET}'\ndef", "cannot be loaded: SyntaxError"),
        ("PROVIDER = 7", "its PROVIDER is not an Issuer"),
    ):
        module.write_text(text)
        refused = play(hosts, {"theirs": options}, "theirs")
        assert complaint in message(refused, "theirs") and SECRET not in refused.stdout + refused.stderr


def test_a_shell_script(hosts: Hosts, ca: OpensslCa) -> None:
    script = hosts.folder / "corporate-ca"
    script.write_text(documented("command.md", "sh").replace("/srv/pki", str(ca.folder)))
    script.chmod(0o755)
    options = {
        "type": "command",
        "command": [str(script)],
        "anchors": ca.root.read_text(),
        "environment": {"CA_TOKEN": SECRET},
    }
    run = play(hosts, {"script": options}, "script").check()
    site = hosts["script"]
    assert entry(run, "script")["issuer"] == "script" and site.served(ca.root) == site.on_disk()
    script.write_text("#!/bin/sh\necho my token is $CA_TOKEN >&2; exit 4\n")
    failed = play(hosts, {"script": options}, "script", force=True)
    assert "'corporate-ca' ended with 4: my token is ***" in message(failed, "script")
    for each in (run, failed):
        assert SECRET not in each.stdout + each.stderr


def test_files_and_https(hosts: Hosts) -> None:
    makers = Makers(dt.datetime.now(dt.timezone.utc))
    root = hosts.folder / "given-root.pem"
    root.write_text(makers.anchors())
    with https_files(*server_pair(makers, hosts.folder)) as served:
        served.token = f"Bearer {SECRET}"
        common = {"type": "fetch", "anchors": str(root), "passphrase": SECRET}
        issuers = {
            "files": {**common, "certificate": f"{hosts.folder}/{{host}}.p12"},
            "web": {
                **common,
                "certificate": f"{served.url}/{{certificate}}.pem",
                "headers": {"Authorization": f"Bearer {SECRET}"},
                "ca_certificate": str(root),
            },
        }

        def put(age: dt.timedelta) -> dict[str, str]:
            pairs = {name: makers.give(hosts[name].domain, age=age) for name in ("files", "web")}
            (hosts.folder / "files.p12").write_bytes(pairs["files"].pkcs12(SECRET))
            served.put("/www.pem", pairs["web"].pem(1, 0) + pairs["web"].key_pem(SECRET))
            return {name: pair.fingerprint for name, pair in pairs.items()}

        told = []
        for age in (10 * DAY, DAY):
            wanted = put(age)
            told.append(play(hosts, issuers, *wanted).check())
            assert {name: hosts[name].served(root) for name in wanted} == wanted
            served.asked.clear()
            told.append(play(hosts, issuers, *wanted).check())
            assert told[-1].changed == 0 and served.asked == [("/www.pem", 304)]
    codes = [reason["code"] for reason in entry(told[2], "web")["reasons"]]
    assert codes == ["source_changed"]

    # The server is gone, and all is as it was: a warning.
    away = play(hosts, issuers, "files", "web").check()
    (result,) = [each["result"] for each in away.task_results if each["host"] == "web"]
    assert "/www.pem: Connection refused" in json.dumps(result["warnings"]) and away.changed == 0
    for run in (*told, away):
        assert SECRET not in run.stdout + run.stderr
        assert "PRIVATE KEY" not in run.stdout + run.stderr
