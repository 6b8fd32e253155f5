# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in a file's place is never waited for, followed or read without end. An alarm ends the test of a reader that waits."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.files.content import (
    LONGEST,
    UnusableFile,
    read,
    read_if_there,
    read_plain,
)
from ansible_collections.fleet.tls.plugins.module_utils.proof.canary import Canary, bundle_takes
from ansible_collections.fleet.tls.plugins.module_utils.services.redis_control import read_settings
from ansible_collections.fleet.tls.plugins.module_utils.tls.contexts import context_for
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError
from tools import paths

PATIENCE = 20


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    def late(*_arguments: object) -> None:
        # No OSError, which is what a file that cannot be used gives as well.
        raise AssertionError("it waits for somebody to write")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.close()


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 2 * 2**30)


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "a pipe": pipe,
    "a socket": listening,
    "a directory": Path.mkdir,
    "two sparse gigabytes": sparse,
}


@pytest.fixture(params=UNUSABLE)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    UNUSABLE[request.param](tmp_path / "file")
    return tmp_path / "file"


def test_what_is_no_file_is_refused_at_once(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for reader in (read, read_if_there):
        with pytest.raises(UnusableFile):
            reader(str(path))
    assert read_plain(str(path)) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_is_followed_only_where_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("file")
    assert read(str(tmp_path / "link"), follow=True) == b"secret"
    assert read_plain(str(tmp_path / "link")) is None
    with pytest.raises(OSError) as caught:
        read(str(tmp_path / "link"))
    assert caught.value.errno == errno.ELOOP


def test_sizes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read(str(tmp_path / "file"), longest=5) == b"12345"
    with pytest.raises(UnusableFile, match="longer than"):
        read(str(tmp_path / "file"), longest=4)
    # These have a size of 0, whatever they hold.
    assert read("/proc/self/status").startswith(b"Name:")
    with pytest.raises(UnusableFile, match="longer than"):
        read("/proc/self/status", longest=4)
    assert LONGEST < 2**30


def test_what_openssl_would_read(path: Path) -> None:
    """A bundle or a pair is opened by us, and OpenSSL gets what was read."""
    taken, why = bundle_takes(str(path), Canary(b"", "a.example"))
    assert not taken and why and "cannot be used: it is" in why
    with pytest.raises(HandshakeError, match="the trust bundle .* cannot be used"):
        context_for(Endpoint("127.0.0.1", 1, None, verify=True, trust=str(path)))
    with pytest.raises(HandshakeError, match="the client certificate cannot be read"):
        context_for(Endpoint("127.0.0.1", 1, None, client_certificate=str(path)))


def test_what_a_service_s_user_may_put_beside_its_configuration(path: Path) -> None:
    main = path.with_name("redis.conf")
    main.write_text(f"include {path}\nport 7000\n")
    settings: dict[str, list[str]] = {}
    read_settings(str(main), settings)
    assert settings == {"include": [str(path)], "port": ["7000"]} or settings == {"port": ["7000"]}


def test_nothing_on_a_host_is_read_or_removed_in_another_way() -> None:
    """Tables of the kernel's may be opened as they are; all else could be anybody's."""
    other = re.compile(r"(?<![.\w])open\(|\.read_(?:text|bytes)\(|shutil\.rmtree\(")
    # leftovers.py: the directory of the user who logs in, where rmtree itself follows no link.
    kernel = {"system/sockets.py": 2, "files/places.py": 1, "leftovers.py": 1}
    folder = paths.ROOT / "plugins" / "module_utils"
    found = {str(path.relative_to(folder)): len(other.findall(path.read_text())) for path in folder.rglob("*.py")}
    assert {name: count for name, count in found.items() if count} == kernel
