# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sub-plugins of this collection and of others: issuers, stores.

Ansible lets no collection register a plugin type of its own; a module below ``plugins/sub_plugins/<kind>/`` that is
imported by name is the way collections do it. A plain name is one of ours, ``ns.collection.name`` another collection's.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

NAME = re.compile(r"[a-z_][a-z0-9_]*")


def preload(kind: str, name: str) -> None:
    """Import one of our own providers before Ansible forks.

    An action is imported in the process that forks the workers, but what its options name only in each worker: without this,
    every host would pay for it. What cannot be imported is left to :func:`load_provider`, which says why.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module(f"ansible_collections.fleet.tls.plugins.sub_plugins.{kind}.{name}")


def is_own(name: str) -> bool:
    """Whether a type's name is one of this collection's."""
    return "." not in str(name) or str(name).startswith("fleet.tls.")


def load_provider(kind: str, name: str) -> Any:
    """The ``PROVIDER`` class of ``plugins/sub_plugins/<kind>/<name>.py``.

    :param kind: ``issuer`` or ``store``.
    :param name: ``ca``, or ``ns.collection.name``.
    :raises SpecError: there is none of that name.
    """
    parts = str(name).split(".")
    if len(parts) == 1:
        parts = ["fleet", "tls", *parts]
    if len(parts) != 3 or not all(NAME.fullmatch(part) for part in parts):
        # It is not told: a secret may have been typed in the wrong place.
        raise SpecError(
            f"the value of type is not a valid {kind} type", remedy="write a plain name or namespace.collection.name"
        )
    module = f"ansible_collections.{parts[0]}.{parts[1]}.plugins.sub_plugins.{kind}.{parts[2]}"
    try:
        provider = getattr(importlib.import_module(module), "PROVIDER", None)
    except ModuleNotFoundError as error:
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise SpecError(
                f"the {kind} type '{name}' needs the Python package '{error.name}' on the controller",
                remedy=f"pip install {error.name}",
            ) from error
        raise SpecError(
            f"there is no {kind} type '{name}'", remedy="check its spelling and that its collection is installed"
        ) from error
    except Exception as error:
        # Somebody else's module that does not load: its text may show what it was reading.
        raise SpecError(
            f"the {kind} type '{name}' cannot be loaded: {type(error).__name__}",
            remedy="report this to who maintains it; python3 -m py_compile tells where a syntax error is",
        ) from None
    if provider is None:
        raise SpecError(f"'{name}' is not a valid {kind} type: it provides nothing", remedy="check its spelling")
    return provider
