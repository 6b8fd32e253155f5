# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two collection trees under .dev/: a link to the checkout, and a real copy of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tools import paths


def link() -> None:
    """.dev/collections/ansible_collections/fleet/tls -> the checkout, for ansible-playbook and unit tests."""
    target = paths.COLLECTIONS / "ansible_collections" / "fleet" / "tls"
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = os.path.relpath(paths.ROOT, target.parent)
    if not target.is_symlink() or os.readlink(target) != wanted:
        target.unlink(missing_ok=True)
        target.symlink_to(wanted)


def copy() -> Path:
    """Bring the copy in step with the checkout's files (tracked, and new ones that git does not ignore)."""
    wanted = {name for name in _files() if (paths.ROOT / name).is_file()}
    for name in wanted:
        source, target = paths.ROOT / name, paths.COPY / name
        if not _same(source, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    # A repository of its own, or else ansible-test and ansible-lint find the checkout's, in which .dev/ is ignored.
    if shutil.which("git") and not (paths.COPY / ".git").exists():
        subprocess.run(["git", "init", "--quiet", str(paths.COPY)], check=True)
    for found in sorted(paths.COPY.rglob("*"), reverse=True):
        if ".git" in found.relative_to(paths.COPY).parts:
            continue
        if found.is_dir() and not found.is_symlink():
            if not any(found.iterdir()):
                found.rmdir()
        elif str(found.relative_to(paths.COPY)) not in wanted:
            found.unlink()
    return paths.COPY


def _files() -> list[str]:
    listing = ["git", "-C", str(paths.ROOT), "ls-files", "-coz", "--exclude-standard"]
    if (paths.ROOT / ".git").exists() and shutil.which("git"):
        done = subprocess.run(listing, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return [name for name in done.stdout.split("\0") if name]
    names = []
    for folder, folders, files in os.walk(paths.ROOT):
        folders[:] = [each for each in folders if each not in (".git", ".dev", "__pycache__")]
        names += [os.path.relpath(os.path.join(folder, each), paths.ROOT) for each in files]
    return names


def _same(source: Path, target: Path) -> bool:
    if not target.is_file():
        return False
    one, two = source.stat(), target.stat()
    return (one.st_size, one.st_mtime_ns, one.st_mode) == (two.st_size, two.st_mtime_ns, two.st_mode)
