# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private parts of the library ``acme`` are named in one place, kept below a version, and missed in a sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("acme")

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca import library, network

REQUIREMENTS = Path(library.__file__).resolve().parents[3] / "requirements-extras.txt"


def test_what_is_used_is_named_and_there() -> None:
    text = Path(network.__file__).read_text()
    own = set(re.findall(r"(?:super\(\)|self)\.(_[a-z]\w*)", text)) - {"_nonces"}
    assert own == set(library.PRIVATE) and library.LIBRARY_PROBLEM is None
    assert "_nonces" in vars(library.ClientNetwork(None, verify_ssl=False))


def test_one_bound_everywhere() -> None:
    (line,) = (each for each in REQUIREMENTS.read_text().splitlines() if each.startswith("acme"))
    assert line.replace(".0,", ",") == library.WANTED


def test_a_release_without_them_is_missed_in_a_sentence() -> None:
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from acme.client import ClientNetwork
del ClientNetwork._post_once
from {library.__name__} import require_acme
try:
    require_acme()
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert "(this release has no ClientNetwork._post_once)" in done.stdout and "'acme>=5.1,<6'" in done.stdout
