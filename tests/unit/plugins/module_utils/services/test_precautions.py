# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before anything is swapped: chains that are none, keys that their reader cannot read, ports of somebody else's."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import beside
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import output_file
from ansible_collections.fleet.tls.plugins.module_utils.pair.material import check_material
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import ProofTarget
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import (
    check_readers,
    key_files,
    refuse_taken_ports,
    refuse_unreloadable,
)
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority

ENTRY: Mapping[str, Any] = MappingProxyType({"mode": "0600", "outputs": []})
ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def refused(chain: list[bytes], entry: Mapping[str, Any] = ENTRY) -> StepError:
    with pytest.raises(StepError) as caught:
        check_material(chain, entry)
    assert caught.value.remedy
    return caught.value


def test_material(authority: Authority, tmp_path: Path) -> None:
    leaf, issuing, root = (
        each.certificate.read_bytes() for each in (authority.issue("www"), authority.issuing, authority.root)
    )
    expired = authority.issue("old", days=-1).certificate.read_bytes()
    for good in ([leaf], [leaf, issuing], [leaf, issuing, root], [expired, issuing]):
        check_material(good, ENTRY)

    error = refused([issuing, leaf])
    assert error.code == "chain_broken" and "certificate 1 was not issued by the one after it" in error.message
    assert "certificate 2" in refused([leaf, issuing, leaf]).message
    assert refused([leaf, root]).code == "chain_broken"
    stranger = Authority(tmp_path).issuing.certificate.read_bytes()
    assert refused([leaf, stranger]).code == "chain_broken"


def test_certificates_that_are_none(authority: Authority) -> None:
    leaf = authority.issue("www").certificate.read_bytes()
    lines = leaf.splitlines(keepends=True)
    for damaged in (
        leaf[: len(leaf) // 2],
        b"",
        b"".join([*lines[:3], lines[-1]]),
        leaf + leaf,
        lines[0] + b"garbage\n" + lines[-1],
    ):
        assert refused([damaged]).code == "bad_certificate"


def test_modes(authority: Authority) -> None:
    leaf = [authority.issue("www").certificate.read_bytes()]
    assert refused(leaf, {"mode": "0644", "outputs": []}).code == "bad_mode"
    public = {"format": "fullchain", "mode": "0644"}
    check_material(leaf, {"mode": "0640", "outputs": [public]})
    assert (
        refused(leaf, {"mode": "0600", "outputs": [public, {"format": "combined", "mode": "0604"}]}).code == "bad_mode"
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A generation that everybody may enter. Not below pytest's own folder, which each session of pytest closes to all others again."""
    with tempfile.TemporaryDirectory(prefix="fleet-tls-readers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        key = folder / "privkey.pem"
        key.write_text("key")
        key.chmod(0o600)
        yield folder


def why(folder: Path, service: Service, entry: Mapping[str, Any] = ENTRY) -> str | None:
    try:
        check_readers(str(folder), entry, [service])
    except StepError as error:
        assert error.code == "key_unreadable" and error.remedy
        return error.message
    return None


def test_readers(folder: Path) -> None:
    assert why(folder, Service("a")) is None
    assert why(folder, Service("a", user="root")) is None
    assert why(folder, Service("a", user=getpass.getuser())) is None
    assert why(folder, Service("a", user="no-such-user")) == "service 'a': there is no user 'no-such-user' on the host"


@pytest.mark.skipif(not ROOT, reason="only root can try what another may")
def test_a_reader_who_is_a_number(folder: Path) -> None:
    """Known to the host or not, as in containers."""
    for number in ("65534", "471147"):
        found = why(folder, Service("a", user=number))
        assert found == f"service 'a': its user '{number}' cannot read the private key: privkey.pem is root:root 0600"
        (folder / "privkey.pem").chmod(0o644)
        assert why(folder, Service("a", user=number)) is None
        os.chown(folder / "privkey.pem", int(number), int(number))
        (folder / "privkey.pem").chmod(0o600)
        assert why(folder, Service("a", user=number)) is None
        os.chown(folder / "privkey.pem", 0, 0)


def test_a_service_that_nobody_can_reload() -> None:
    refuse_unreloadable([Service("a")])
    with pytest.raises(StepError, match="service 'b': because") as caught:
        refuse_unreloadable([Service("a"), Service("b", unreloadable="because")])
    assert caught.value.code == "cannot_reload"


@pytest.mark.skipif(not ROOT, reason="only root can try what another may")
def test_another_reader(folder: Path) -> None:
    key = folder / "privkey.pem"
    nobody = Service("a", user="nobody")
    assert (
        why(folder, nobody)
        == "service 'a': its user 'nobody' cannot read the private key: privkey.pem is root:root 0600"
    )
    key.chmod(0o644)
    assert why(folder, nobody) is None
    # A directory above counts as well.
    folder.chmod(0o700)
    assert why(folder, nobody) is not None
    folder.chmod(0o755)
    key.chmod(0o640)
    os.chown(key, 0, 65534)
    assert why(folder, nobody) is None
    # One file is enough: a link's is in the generation, a copy's beside its place.
    key.chmod(0o600)
    link = {"path": "/srv/x.pem", "format": "combined", "method": "link"}
    copy = {"path": str(folder / "copy.pem"), "format": "pkcs12", "method": "copy"}
    for output, file in ((link, folder / output_file("/srv/x.pem")), (copy, Path(beside(copy["path"], "new")))):
        entry = {"mode": "0600", "outputs": [output, {"path": "/srv/public.pem", "format": "cert", "method": "link"}]}
        assert why(folder, nobody, entry) is not None
        file.write_text("key")
        os.chown(file, 65534, -1)
        assert key_files(str(folder), entry) == [str(key), str(file)]
        assert why(folder, nobody, entry) is None


@pytest.mark.skipif(not ROOT, reason="only root can try what another may")
def test_no_program_is_run_as_the_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have root's environment, for the reader's user to see; and groups, identity and descriptors of ours stay ours."""

    def refuse(*_arguments: object, **_named: object) -> None:
        raise AssertionError("a program is run")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "execve", refuse)
    before = os.getresuid(), os.getgroups(), len(os.listdir("/proc/self/fd"))
    assert why(folder, Service("a", user="nobody")) is not None
    os.chown(folder / "privkey.pem", 65534, -1)
    assert why(folder, Service("a", user="nobody")) is None
    assert (os.getresuid(), os.getgroups(), len(os.listdir("/proc/self/fd"))) == before
    # A pipe that nobody writes to is not waited for.
    (folder / "privkey.pem").unlink()
    os.mkfifo(folder / "privkey.pem", 0o644)
    why(folder, Service("a", user="nobody"))


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
@pytest.mark.parametrize(
    ("owner", "mode", "accepted"),
    [
        ("nobody", 0o600, True),
        ("nobody", 0o640, False),
        ("root", 0o640, True),
        ("root", 0o644, False),
        ("daemon", 0o644, False),
    ],
)
def test_postgresql_s_rule(folder: Path, owner: str, mode: int, accepted: bool) -> None:
    import shutil

    key = folder / "privkey.pem"
    shutil.chown(key, owner, "nogroup")
    key.chmod(mode)
    said = why(folder, Service("a", user="nobody", strict_key=True))
    assert (said is None) is accepted, said
    assert accepted or "it takes a key only when it is" in str(said)


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        target = ProofTarget("127.0.0.1", port, None, "www", "new")
        service = Service("web", programs=("nginx",))
        with pytest.raises(StepError, match=f"service 'web': port {port} is held by ") as caught:
            refuse_taken_ports(service, [target])
        assert caught.value.code == "port_taken" and f"process {os.getpid()}" in caught.value.message
        # Nobody's business: it serves what it is to; it does not have to; nobody knows who may.
        refuse_taken_ports(service, [ProofTarget("127.0.0.1", port, None, "www", "new", before="new")])
        refuse_taken_ports(service, [ProofTarget("127.0.0.1", port, None, "www", "new", required=False)])
        refuse_taken_ports(Service("own"), [target])
    refuse_taken_ports(service, [target])
