# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.steps.challenge import challenge_step

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
FILE = {"token": TOKEN, "content": f"{TOKEN}.thumbprint"}


def request(root: Path, state: str = "present", *files: dict[str, str]) -> dict[str, Any]:
    return {"webroot": str(root), "state": state, "files": list(files or (FILE,))}


def test_made_readable_and_removed(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        assert challenge_step(request(tmp_path)) == (True, {})
    finally:
        os.umask(old)
    path = tmp_path / ".well-known/acme-challenge" / TOKEN
    assert path.read_text() == FILE["content"]
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)] == [0o644, 0o755, 0o755]
    challenge_step(request(tmp_path))
    assert challenge_step(request(tmp_path, "absent")) == (True, {})
    assert list(path.parent.iterdir()) == []
    assert challenge_step(request(tmp_path, "absent")) == (False, {})


def test_nothing_to_remove(tmp_path: Path) -> None:
    assert challenge_step(request(tmp_path, "absent")) == (False, {})
    assert list(tmp_path.iterdir()) == []


def test_no_webroot(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="there is no directory"):
        challenge_step(request(tmp_path / "missing"))


@pytest.mark.parametrize("token", ["../../etc/passwd", "", "a/b", ".", "a b", "x" * 201])
def test_what_is_no_token(tmp_path: Path, token: str) -> None:
    with pytest.raises(StepError, match="token"):
        challenge_step(request(tmp_path, "present", {"token": token, "content": "x"}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("link", [".well-known", ".well-known/acme-challenge"])
def test_links_are_not_followed(tmp_path: Path, link: str) -> None:
    """The web root's owner could have a privileged run write where that owner may not."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = tmp_path / "root"
    path = root / link
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere)
    with pytest.raises(StepError):
        challenge_step(request(root))
    assert list(elsewhere.iterdir()) == []


def test_a_link_put_there_after_the_directory_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of root's must not become everybody's to read."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    (tmp_path / "root").mkdir()
    mkdir = os.mkdir

    def swapped(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        os.rmdir(name, dir_fd=dir_fd)
        os.symlink(secret, name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", swapped)
    with pytest.raises(StepError):
        challenge_step(request(tmp_path / "root"))
    assert secret.stat().st_mode & 0o777 == 0o600


def test_a_link_at_the_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    folder = tmp_path / "root/.well-known/acme-challenge"
    folder.mkdir(parents=True)
    (folder / TOKEN).symlink_to(target)
    challenge_step(request(tmp_path / "root"))
    assert target.read_text() == "precious"
    assert (folder / TOKEN).read_text() == FILE["content"]
