# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How this collection's own files are imported: as Python imports any other file, with the compiled code kept in ``__pycache__``.

Ansible's way of importing what is in collections compiles each file again in each run: with nothing to do, a third of a second for nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

OURS = "ansible_collections.fleet.tls.plugins."
ANSIBLES = "_AnsibleCollectionFinder"


class CompiledOnce(MetaPathFinder):
    """Finds our files; packages, and all that is not there, it leaves to Ansible.

    Where ``__pycache__`` cannot be written, or must not be (``PYTHONDONTWRITEBYTECODE``), nothing is kept. That is Python's affair.
    """

    @classmethod
    def install(cls) -> None:
        """Ask this one just before Ansible's. Where that is not asked, Python has its own way already."""
        finders = [type(each).__name__ for each in sys.meta_path]
        if ANSIBLES in finders and cls.__name__ not in finders:
            sys.meta_path.insert(finders.index(ANSIBLES), cls())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As Python asks for it; ``path``: the folders of the package."""
        if not fullname.startswith(OURS) or not path:
            return None
        place = Path(path[0], fullname.rpartition(".")[2] + ".py")
        return spec_from_file_location(fullname, place) if place.is_file() else None
