# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Without cryptography, or with an old one, everything can be imported, so that an action can say what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.pki import crypto

PLUGINS = Path(crypto.__file__).resolve().parents[2]
KINDS = ("plugin_utils", "sub_plugins", "filter", "lookup", "test")
NAMES = [
    "ansible_collections.fleet.tls.plugins." + ".".join(path.relative_to(PLUGINS).with_suffix("").parts)
    for kind in KINDS
    for path in sorted(PLUGINS.joinpath(kind).rglob("*.py"))
]
CODE = """
import importlib, sys
sys.path[:0] = {path!r}
for name in {names!r}:
    importlib.import_module(name)
from {crypto} import require_cryptography
try:
    require_cryptography()
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ('__version__ = "41.0.7"\n', "(41.0.7 is installed, 42 or newer is needed)"),
        ("raise ImportError('nothing there')\n", "(nothing there)"),
    ],
)
def test_everything_can_be_imported(tmp_path: Path, package: str, said: str) -> None:
    stub = tmp_path / "cryptography" / "__init__.py"
    stub.parent.mkdir()
    stub.write_text(package)
    code = CODE.format(path=[str(tmp_path), *sys.path], names=NAMES, crypto=crypto.__name__)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (
        f"missing or too old on the controller {said}. Install it where ansible runs: {sys.executable}" in done.stdout
    )
