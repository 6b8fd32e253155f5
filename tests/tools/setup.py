# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the parts of .dev/ that are named, those of PARTS below. Run by ./dev; standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import packages, trees, venvs  # noqa: E402

PARTS = {
    "link": trees.link,
    "copy": trees.copy,
    "core": lambda: venvs.ensure("main", "core"),
    "demo": lambda: venvs.ensure("demo"),
    "test": lambda: venvs.ensure("main"),
    "lowest": lambda: venvs.ensure("lowest"),
    "system": lambda: venvs.ensure("system"),
    "bench": lambda: venvs.ensure("bench"),
    "mitogen": lambda: venvs.ensure("mitogen"),
    "certbot": lambda: venvs.ensure("certbot"),
    "nginx": lambda: packages.ensure("nginx"),
    "acme": lambda: packages.ensure("nginx", "acme", "lego"),
    "tokens": lambda: packages.ensure("tokens"),
    "fleet": lambda: packages.ensure("fleet"),
}


def main(names: list[str]) -> int:
    """Make each part; 2 when the machine lacks something that we may not install."""
    wanted: list[str] = []
    for name in names:
        try:
            PARTS[name]()
        except packages.SetupError as error:
            if not error.packages:
                print("dev: {0}".format(error), file=sys.stderr)
                return 2
            # Go on, so that one command names all that is missing.
            wanted += error.packages
    if wanted:
        print("dev: {0}".format(packages.lacking(sorted(set(wanted)))), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
