# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.system import memory
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import private_file


@pytest.mark.parametrize("has_memfd", [True, False])
def test_the_key_is_nowhere_afterwards(has_memfd: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not has_memfd:
        monkeypatch.delattr(os, "memfd_create", raising=False)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr(memory.tempfile, "tempdir", None)
    with private_file(b"content") as path:
        assert Path(path).read_bytes() == b"content"
        if not has_memfd:
            assert os.stat(path).st_mode & 0o777 == 0o600
    assert not os.path.exists(path) and not list(tmp_path.iterdir())
