# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``./dev demo`` shows what it promises. Its exit status says so, and this reads what a person would read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tools import paths
from tools.playbook import controller


def test_demo(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--folder", str(tmp_path / "demo")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(paths.ROOT / "tests"), "PATH": paths.tool_path(controller())},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"=> complete: TLSv1.3, (full handshake|resumed by ticket), (one-way|mutual)", done.stdout) == [
        ("full handshake", "one-way"),
        ("full handshake", "mutual"),
        ("resumed by ticket", "one-way"),
    ]
    assert re.findall(r"^  ([a-z, ]+): +(NOT )?resumed$", done.stdout, re.MULTILINE) == [
        ("before the rotation", ""),
        ("begun before, resumed after it", ""),
        ("after the rotation", ""),
    ]
    assert "3 of 3 served fingerprints equal the issued ones" in done.stdout
    assert ": 0 failed" in done.stdout
    assert not list(tmp_path.glob("demo/hosts/*/nginx.pid"))
