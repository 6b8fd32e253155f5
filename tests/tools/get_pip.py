# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the get-pip script that ansible-test downloads: the pip that Python brings along installs the wanted one.

Not everybody can reach the place it is downloaded from; who can, loses nothing.
"""

from __future__ import annotations

import ensurepip
import runpy
import sys

ensurepip.bootstrap()
sys.argv = ["pip", "install", *(word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel"))]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
