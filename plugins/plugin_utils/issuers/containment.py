# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuers of other collections: whatever they raise becomes an error that names the issuer and tells no secret.

The text of a foreign exception may hold what the code was working on (a token, a key), so only its type and place are told.
"""

from __future__ import annotations

import functools
import inspect
import os.path
import traceback
from collections.abc import Callable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import abilities_of


def contained(provider: type, contract: type) -> type:
    """A subclass of an issuer's class whose methods of the contract, and of its abilities, raise nothing but TlsErrors."""
    members: dict[str, Any] = {}
    for name, member in [pair for each in (contract, *abilities_of(provider)) for pair in vars(each).items()]:
        if isinstance(member, property):
            getter = getattr(getattr(provider, name), "fget", None)
            if getter is not None:
                members[name] = property(translated(getter))
        elif inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            members[name] = translated(getattr(provider, name))
    return type(provider.__name__, (provider,), members)


def translated(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of an issuer that raises :class:`IssuerError` in place of anything foreign."""

    @functools.wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return method(self, *arguments, **options)
        except TlsError:
            raise
        except (Exception, SystemExit) as error:
            name = getattr(self, "name", None) or (arguments[0] if arguments else "")
            # "from None": what a traceback shows of the frames below is nobody's business.
            raise IssuerError(
                f"issuer '{name}' broke: {type(error).__name__} at {place(error)}",
                remedy="report this to who maintains that issuer",
            ) from None

    return call


def place(error: BaseException) -> str:
    """Where it was raised, ``issuer.py:33``."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "an unknown place"
