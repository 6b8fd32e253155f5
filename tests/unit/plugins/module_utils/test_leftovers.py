# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from pathlib import Path

from ansible_collections.fleet.tls.plugins.module_utils.leftovers import OLD, remove_leftovers

NOW = time.time()


def make(folder: Path, name: str, *files: str, age: float = OLD + 60) -> Path:
    """A directory of an earlier run."""
    path = folder / name
    path.mkdir()
    for each in files:
        (path / each).write_text("a secret")
    os.utime(path, (NOW - age, NOW - age))
    return path


def test_only_old_directories_of_ours_go(tmp_path: Path) -> None:
    own = make(tmp_path, "ansible-tmp-1790000000.5-7-1", "AnsiballZ_host_look.py")
    old = make(tmp_path, "ansible-tmp-1790000000.1-7-2", "AnsiballZ_host_apply.py")
    kept = [
        make(tmp_path, "ansible-tmp-1790000000.2-7-3", "AnsiballZ_host_apply.py", age=OLD - 60),
        make(tmp_path, "ansible-tmp-1790000000.3-7-4", "AnsiballZ_command.py"),
        make(tmp_path, "ansible-tmp-1790000000.4-7-5", "AnsiballZ_host_apply.py", "source"),
        make(tmp_path, "ansible-tmp-1790000000.6-7-6"),
        make(tmp_path, "mine", "AnsiballZ_host_apply.py"),
    ]
    link = tmp_path / "ansible-tmp-1790000000.7-7-7"
    link.symlink_to(kept[-1])
    # As Ansible has it.
    assert remove_leftovers(f"{own}/", NOW) == [str(old)]
    assert not old.exists() and own.exists() and link.exists()
    assert all(each.exists() for each in kept) and (kept[-1] / "AnsiballZ_host_apply.py").exists()
    if os.geteuid() == 0:
        foreign = make(tmp_path, "ansible-tmp-1790000000.8-7-8", "AnsiballZ_host_apply.py")
        os.chown(foreign, 12345, -1)
        assert remove_leftovers(str(own), NOW) == [] and foreign.exists()


def test_elsewhere_nothing_goes(tmp_path: Path) -> None:
    old = make(tmp_path, "ansible-tmp-1790000000.1-7-2", "AnsiballZ_host_apply.py")
    for own in (tmp_path / "x", tmp_path / "none/ansible-tmp-1790000000.5-7-1"):
        assert remove_leftovers(str(own), NOW) == []
    assert old.exists()
