# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service's user who owns the directory of its copy of a key: what it puts there costs its own certificate at most, and no time."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from local.hosts import Hosts, entry, message

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
MALLORY = pwd.getpwnam("nobody")


def test_a_service_s_user_and_the_directory_of_its_copy(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, {"web": ["www", "app"], "other": ["other"]})
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, MALLORY.pw_uid, MALLORY.pw_gid)
    copy = home / "certs" / "privkey.pem"
    output: dict[str, Any] = {"path": str(copy), "format": "privkey", "method": "copy", "owner": MALLORY.pw_name}
    app = hosts["app"].certificate(services=[], outputs=[output])
    plain = {name: hosts[name].certificate(services=[]) for name in ("www", "other")}
    known = {"web": {"tls_certificates": [plain["www"], app]}, "other": {"tls_certificates": [plain["other"]]}}

    hosts.play(known).check()
    assert [(each.stat().st_uid, each.stat().st_mode & 0o777) for each in (copy.parent, copy)] == [
        (MALLORY.pw_uid, 0o755),
        (MALLORY.pw_uid, 0o600),
    ]
    assert not hosts.play(known).check().changed

    # A pipe that nobody writes to.
    copy.unlink()
    os.mkfifo(copy)
    hosts.play(known).check()
    assert copy.is_file() and copy.read_bytes() == (hosts["app"].live / "privkey.pem").read_bytes()

    # The live pair of another certificate.
    key = (hosts["www"].live / "privkey.pem").resolve()
    before = key.read_bytes(), key.stat()
    copy.parent.rename(home / "away")
    copy.parent.symlink_to(hosts["www"].live)
    os.chown(copy.parent, MALLORY.pw_uid, MALLORY.pw_gid, follow_symlinks=False)
    for arguments in ((), ("-e", "tls_force=true"), ("--check",)):
        result = hosts.play(known, *arguments)
        words = message(result, "web")
        assert "unsafe path transition" in words and str(home) in words and MALLORY.pw_name in words
        assert entry(result, "other")["error"] is None
    assert (key.read_bytes(), key.stat().st_uid, key.stat().st_mode, key.stat().st_ino) == (
        before[0], 0, before[1].st_mode, before[1].st_ino
    )  # fmt: skip
