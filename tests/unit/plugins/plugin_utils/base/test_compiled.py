# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our files are compiled once, not in every run, with Ansible's own import machinery in front of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base import compiled

# As ansible-playbook has it: its finder is the first that is asked. Another collection's file is none of ours.
PROGRAM = """
import json, sys
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
import ansible.plugins.loader
_AnsibleCollectionFinder(paths=[sys.argv[1]])._install()
from ansible_collections.fleet.tls.plugins.plugin_utils.base import sample
from ansible_collections.fleet.tls.plugins.module_utils import host_sample
from ansible_collections.other.thing.plugins.module_utils import theirs
try:
    import ansible_collections.fleet.tls.plugins.plugin_utils.base.missing
except ImportError as error:
    missing = str(error)
kept = {each.__name__.rpartition(".")[2]: getattr(each, "__cached__", None) for each in (sample, host_sample, theirs)}
print(json.dumps({"says": sample.SAYS, "kept": kept, "missing": missing}))
"""


@pytest.fixture
def collections(tmp_path: Path) -> Path:
    """Two collections: ours with next to nothing in it, and another one."""
    ours = tmp_path / "ansible_collections" / "fleet" / "tls" / "plugins"
    theirs = tmp_path / "ansible_collections" / "other" / "thing" / "plugins" / "module_utils"
    for each in (ours / "plugin_utils" / "base", ours / "module_utils", theirs):
        each.mkdir(parents=True)
    source = Path(compiled.__file__)
    for each in (source, source.parent / "__init__.py"):
        shutil.copy(each, ours / "plugin_utils" / "base")
    (ours / "plugin_utils" / "base" / "sample.py").write_text("SAYS = 'old'\n")
    (ours / "module_utils" / "host_sample.py").write_text("")
    (theirs / "theirs.py").write_text("")
    return tmp_path


def imported(collections: Path, **changes: str) -> dict[str, Any]:
    """What a process sees that imports them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ANSIBLE"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(collections)],
        env={**environment, "LC_ALL": "C.UTF-8", **changes},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_compiled_is_kept_and_used_until_its_source_is_another(collections: Path) -> None:
    first = imported(collections)
    kept = {name for name, place in first["kept"].items() if place and Path(place).is_file()}
    assert first["says"] == "old" and kept == {"sample", "host_sample"}
    assert "missing" in first["missing"]
    # The code itself says that it is the kept one that is run: another source of the same length and age is not looked at.
    source = collections / "ansible_collections/fleet/tls/plugins/plugin_utils/base/sample.py"
    age = source.stat().st_mtime_ns
    source.write_text("SAYS = 'OLD'\n")
    os.utime(source, ns=(age, age))
    assert imported(collections)["says"] == "old"
    source.write_text("SAYS = 'another'\n")
    assert imported(collections)["says"] == "another"


def test_nothing_is_kept_where_python_is_told_so(collections: Path) -> None:
    assert imported(collections, PYTHONDONTWRITEBYTECODE="1")["says"] == "old"
    assert not list(collections.rglob("*.pyc"))
