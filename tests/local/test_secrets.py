# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys and the passphrase reach nobody: not the output at -vvvvv, not a diff, not ps, not a file that others can read.

Searched for are the bytes themselves: every line of the base64 body of every private key there ever was on a host, the same of the
CA's keys once they are decrypted, and the passphrases.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.hosts import Hosts, Site, serving
from local.watching import Watch, found_in, told, watching
from tools.playbook import PlaybookResult, run_playbook

PASSPHRASE = "PASSPHRASE-in-no-output-7f3a9c1e5b"
PKCS12_PASSPHRASE = "PKCS12-in-no-output-5d1b8e"
SHORTEST_LINE = 24


@dataclass(frozen=True)
class Seen:
    """All runs, what was watched meanwhile, and the secrets there were."""

    runs: list[PlaybookResult]
    watch: Watch
    secrets: dict[bytes, str]


def variables(site: Site, **key: Any) -> dict[str, Any]:
    """A host whose remote and local temporary files are in its own directory, where they are watched."""
    sealed = {"passphrase": PKCS12_PASSPHRASE}
    forms = {"combined": {}, "privkey": {}, "encrypted": sealed, "jks": sealed, "pkcs12": {**sealed, "anchors": True}}
    outputs: list[dict[str, Any]] = [
        {"path": str(site.folder.parent / f"{form}.out"), "format": form, **more} for form, more in forms.items()
    ]
    return {
        "tls_certificates": [site.certificate(private_key=key, outputs=outputs)],
        "ansible_remote_tmp": str(site.folder.parent / "remote-tmp"),
        "tls_trust_system": False,
        "tls_trust_bundles": [{"path": str(site.folder.parent / "ca.pem")}],
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    hosts = Hosts(tmp_path_factory.mktemp("secrets"), {"own": ["www1"], "given": ["www2"]})
    store = hosts.store_options(passphrase=PASSPHRASE)
    chosen = {"own": variables(hosts["own"]), "given": variables(hosts["given"], location="controller")}
    inventory = hosts.inventory(chosen, tls_store=store, tls_nginx=False)
    wrong = hosts.inventory(chosen, tls_store={**store, "passphrase": f"{PASSPHRASE}-but-wrong"}, tls_nginx=False)
    programs = tmp_path_factory.mktemp("programs")
    common = {"ANSIBLE_LOCAL_TEMP": str(hosts.folder / "local-tmp"), "PATH": told(programs)}

    def run(pipelining: bool, *more: str, path: Path = inventory) -> PlaybookResult:
        environment = {"ANSIBLE_PIPELINING": str(pipelining), **common}
        return run_playbook("fleet.tls.deploy", path, args=["-vvvvv", "--diff", *more], env=environment)

    with watching(hosts.folder) as watch:
        # There is no nginx yet: the first pairs are installed, and said not to be served.
        first = run(False)
        with serving(*hosts):
            rotated = run(True, "-e", "tls_force=true").check()
            failed = run(False, "-e", "tls_force=true", path=wrong)
    assert first.rc == 2 and failed.rc == 2
    watch.processes |= {each.read_bytes() for each in (programs / "seen").iterdir()}
    secrets = dict(key_lines(watch.keys, hosts.store))
    yield Seen([first, rotated, failed], watch, secrets)


def key_lines(keys: dict[bytes, str], store: Path) -> Iterator[tuple[bytes, str]]:
    """The base64 lines of all private keys, in each of the forms that openssl writes; and the passphrase."""
    yield PASSPHRASE.encode(), "the passphrase"
    yield PKCS12_PASSPHRASE.encode(), "the passphrase of the outputs"
    texts = {text: path for text, path in keys.items() if b"ENCRYPTED" not in text}
    for path in store.rglob("*.key"):
        texts[openssl("pkey", "-in", str(path), "-passin", "stdin", given=PASSPHRASE.encode())] = str(path)
    for text, path in texts.items():
        for form in (text, openssl("ec", given=text)):
            for line in form.splitlines():
                if len(line) >= SHORTEST_LINE and not line.startswith(b"-----"):
                    yield line, path


def openssl(*arguments: str, given: bytes) -> bytes:
    """What openssl prints."""
    return subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True, timeout=300).stdout


def test_there_are_secrets_to_look_for(seen: Seen) -> None:
    wheres = list(seen.secrets.values())
    assert "the passphrase" in wheres and "the passphrase of the outputs" in wheres
    for part in ("ca/internal/root-1.key", "ca/internal/issuing-1.key", "keys/given/www2.key"):
        assert [where for where in wheres if where.endswith(part)]
    # Two keys each: the first, and that of the rotation. The second of the host that was given its keys is in the store as well.
    assert len({where for where in wheres if "/own/fleet-tls/generations/" in where}) == 2
    assert len({where for where in wheres if "/given/" in where}) == 2


def test_output(seen: Seen) -> None:
    for run in seen.runs:
        assert len(run.stdout) > 10_000
        assert found_in((run.stdout + run.stderr).encode(), seen.secrets) == []
        assert "PRIVATE KEY" not in run.stdout + run.stderr


def test_results(seen: Seen) -> None:
    for run in seen.runs:
        assert run.task_results
        assert found_in(repr(run.task_results).encode(), seen.secrets) == []


def test_processes(seen: Seen) -> None:
    assert seen.watch.rounds > 100
    text = b"\n".join(seen.watch.processes)
    # The tests themselves are among what was seen: that they were seen shows that seeing works.
    assert b"fleet.tls.deploy" in text and b"genpkey" in text
    assert found_in(text, seen.secrets) == []


def test_files(seen: Seen) -> None:
    assert seen.watch.open_files == set()
    closed = [path for path in seen.watch.folder.rglob("*.out") if path.is_file()]
    assert len(closed) == 10
    assert [path for path in closed if path.stat().st_mode & 0o077] == []


def test_nothing_stays_in_temporary_directories(seen: Seen) -> None:
    left = [
        path
        for name in ("own/remote-tmp", "given/remote-tmp", "local-tmp")
        for path in (seen.watch.folder / name).rglob("*")
        if path.is_file()
    ]
    assert left == []
