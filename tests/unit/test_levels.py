# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports run only downwards, and the picture of them is as they are."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils import issuer_api
from tools import paths, picture

LINTER = paths.venv("main") / "bin" / "lint-imports"


@pytest.mark.skipif(not LINTER.exists(), reason="import-linter is in the main environment only")
def test_imports_run_only_downwards(tmp_path: Path) -> None:
    collections = Path(issuer_api.__file__).parents[5]
    command = [str(LINTER), str(paths.ROOT / "tests" / "tools" / "levels.ini"), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(collections), "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


def test_the_picture_is_drawn_from_the_imports() -> None:
    text = picture.PAGE.read_text(encoding="utf-8")
    assert text == picture.page(text), "run ./dev picture"
