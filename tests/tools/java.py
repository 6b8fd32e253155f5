# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a Java is that ansible-rulebook can use."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from tools import packages

OLDEST = 17


def homes() -> list[str]:
    """Folders that may be a Java's, the user's choice first."""
    program = packages.find("java")
    chosen = [os.environ.get("JAVA_HOME", ""), str(Path(program).resolve().parents[1]) if program else ""]
    return [each for each in [*chosen, *sorted(glob.glob("/usr/lib/jvm/*"))] if each]


def version(home: str) -> int:
    """The major version of the Java in a folder; 0 where there is none with a virtual machine as a library."""
    try:
        release = (Path(home) / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    match = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return int(match[1]) if match and (Path(home) / "lib" / "server" / "libjvm.so").exists() else 0


def find_home() -> str | None:
    """A JAVA_HOME that is new enough, or None."""
    return next((home for home in homes() if version(home) >= OLDEST), None)
