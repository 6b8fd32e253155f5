# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every test: ``ansible_collections.fleet.tls`` is this checkout, and ``tools`` and ``fleet`` (below tests/) can be imported."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

try:
    from ansible.plugins.loader import init_plugin_loader
except ImportError:  # the suite unit-3.9: a managed host has no Ansible
    init_plugin_loader = None

from tools import order, paths, times, trees

# Hooks: pytest finds them here.
pytest_runtest_logreport = times.pytest_runtest_logreport
pytest_collection_modifyitems = order.pytest_collection_modifyitems

trees.link()
if init_plugin_loader:
    init_plugin_loader([str(paths.COLLECTIONS)])
# For Pythons that tests start themselves, with our path and without Ansible's own way to find a collection.
sys.path.append(str(paths.COLLECTIONS))
