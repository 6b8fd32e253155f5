# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the development tools keep things; everything they write is under .dev/ of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

# The environment wins because Molecule and ansible-test run from a copy inside .dev/, whose own root is not the checkout.
ROOT = Path(os.environ.get("FLEET_TLS_ROOT") or Path(__file__).resolve().parents[2])
DEV = ROOT / ".dev"

COLLECTIONS = DEV / "collections"  # a tree whose fleet/tls is a link to the checkout
COPY_TREE = DEV / "copy"  # a tree whose fleet/tls is a real copy: ansible-test refuses links
COPY = COPY_TREE / "ansible_collections" / "fleet" / "tls"
HOME = DEV / "home"  # HOME of tools that keep things there: ansible-test its environments, ansible-lint its mocks
REQUIREMENTS = ROOT / "tests" / "requirements"
TOOLS = ROOT / "tests" / "tools"
ANSIBLE_CFG = TOOLS / "ansible.cfg"


def venv(name: str) -> Path:
    """Folder of the virtual environment ``name``: main, oldest, bench, bao or report."""
    return DEV / "venv" / name


def tool_path(name: str = "main") -> str:
    """A PATH on which the programs of a virtual environment, and those of /usr/sbin (nginx, runc), are found."""
    return os.pathsep.join([str(venv(name) / "bin"), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
