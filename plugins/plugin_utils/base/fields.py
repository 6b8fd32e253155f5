# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small parsers for what users write in mappings, all refusing with the same words. Pure."""

from __future__ import annotations

import contextlib
import difflib
import os.path
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import named

# Those of ansible.module_utils.parsing.convert_bool.
TRUE = ("true", "yes", "on", "1", "y", "t", "1.0")
FALSE = ("false", "no", "off", "0", "n", "f", "0.0")

# What stands between names, or around them.
SEVERAL = re.compile(r"[\s,;\[\]{}\"']")


class Fields:
    """A mapping of the user's, its unknown fields refused.

    :raises SpecError: not a mapping, or a field that is not among ``known``.
    """

    def __init__(self, raw: Any, known: Iterable[str], where: str = "") -> None:
        self.prefix = f"{where}: " if where else ""
        known = tuple(known)
        if not isinstance(raw, Mapping):
            # The value is not told: it may be a key or a passphrase in the wrong place.
            raise SpecError(f"{where or 'an option'} must be a mapping", remedy=f"its fields: {', '.join(known)}")
        self.raw = raw
        for field in raw:
            if field not in known:
                raise SpecError(f"{self.prefix}unknown option '{field}'", remedy=suggestion(str(field), known))

    def get(self, field: str, default: Any = None) -> Any:
        """The value, or ``default`` where it is absent or null."""
        value = self.raw.get(field)
        return default if value is None else value

    def text(self, field: str) -> str | None:
        """The value as plain text, None where absent."""
        value = self.get(field)
        return None if value is None else str(value)

    def flag(self, field: str, default: bool = False) -> bool:
        """A boolean, see :func:`parse_boolean`; ``default`` where it is absent or null.

        :raises SpecError: it is none.
        """
        return parse_boolean(self.get(field, default), f"{self.prefix}{field}")

    def items(self, field: str) -> list[Any]:
        """A list; a missing value is an empty one.

        :raises SpecError: another type.
        """
        value = self.get(field, [])
        if not isinstance(value, (list, tuple)):
            raise SpecError(f"{self.prefix}{field} must be a list", remedy=f"write {field}: [...]")
        return list(value)

    def strings(self, field: str) -> list[str]:
        """A list of texts; a single text counts as a list of one."""
        value = self.get(field, [])
        return [str(value)] if isinstance(value, str) else [str(item) for item in self.items(field)]


def names_list(value: Any, what: str) -> list[str]:
    """Names, as a list has them. A text is one name: ``-e name=value`` and surveys always give texts.

    :param what: the variable, for the error.
    :raises SpecError: something else, or a text that looks like several names. In a text, ``in`` would find parts of names.
    """
    if value is None or value == "":
        return []
    if isinstance(value, str) and value.strip() and not SEVERAL.search(value.strip()):
        return [value.strip()]
    plain = isinstance(value, (list, tuple)) and all(isinstance(each, (str, int)) and str(each) for each in value)
    if not plain:
        raise SpecError(
            f"{what}: it must be a list of names, or one name", remedy=f'write -e \'{{"{what}": ["web1", "web2"]}}\''
        )
    return [str(each) for each in value]


def parse_force(value: Any) -> bool | tuple[str, ...]:
    """``force``: a boolean, or the names of certificates of this or of other hosts.

    :raises SpecError: neither.
    """
    if value is None or str(value).strip() in ("", "None"):
        return False
    if not isinstance(value, (list, tuple)):
        with contextlib.suppress(SpecError):
            return parse_boolean(value, "force")
    return tuple(names_list(value, "force"))


def suggestion(word: str, known: Iterable[str]) -> str:
    """A remedy for a word that is not known."""
    known = [str(each) for each in known]
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"


def refuse_strangers(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """A slip of the pen in a list of names is found before anything is done.

    :param what: what nobody is, in words that a name follows.
    :raises SpecError: a name that is not known.
    """
    known = sorted(set(known))
    for name in given:
        if name not in known:
            raise SpecError(f"{what} '{name}'", remedy=suggestion(name, known))


def one_of(value: Any, known: Iterable[str], what: str) -> str:
    """``value`` as plain text when it is among ``known``.

    :raises SpecError: it is not.
    """
    known = tuple(known)
    if str(value) not in known:
        raise SpecError(f"{what}: {named(value)} is unknown", remedy=suggestion(str(value), known))
    return str(value)


def parse_boolean(value: Any, what: str) -> bool:
    """A boolean, also one that came through a template or from ``-e`` as text: in the words that Ansible takes for an option.

    :raises SpecError: neither true nor false.
    """
    text = str(value).strip().lower()
    if text not in TRUE and text not in FALSE:
        raise SpecError(f"{what}: {named(value)} is neither true nor false", remedy="write true or false")
    return text in TRUE


def parse_mode(value: Any, *, secret: bool) -> str:
    """A file mode as octal text, ``0640``.

    :param secret: the file holds a private key, so others must not get at it.
    :raises SpecError: not an octal mode, or one that lets others read a key.
    """
    try:
        bits = value if isinstance(value, int) else int(str(value), 8)
    except ValueError:
        bits = -1
    if isinstance(value, bool) or not 0 <= bits <= 0o777:
        raise SpecError(f"mode: '{value}' is not a file mode", remedy='write four octal digits in quotes, "0640"')
    if secret and bits & 0o027:
        raise SpecError(
            f"mode: {bits:04o} lets more than its owner and readers of its group at a private key",
            remedy='use "0600", or "0640" with a group',
        )
    return f"{bits:04o}"


def parse_path(value: Any, what: str) -> str:
    """An absolute path in its normal form.

    :raises SpecError: it is not absolute.
    """
    path = str(value or "")
    if not os.path.isabs(path) or path.endswith("/") or "\0" in path or "\n" in path:
        raise SpecError(f"{what}: '{path}' is not an absolute path of a file", remedy="start it with a slash")
    return os.path.normpath(path)


def parse_directory(value: Any, what: str) -> str:
    """As :func:`parse_path`, for a directory, which may be written with a slash at its end."""
    return parse_path(str(value or "").rstrip("/"), what)
