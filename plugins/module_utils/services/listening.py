# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where servers are told to listen, read from their configuration, for those whose programs neither try it nor say it. Pure.

What only the environment or a condition decides is left out: nobody is refused for a port that may not be wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

Listen = tuple[str, int]

PORT = re.compile(r"(?:([^$]*):)?(\d+)(?:-\d+)?")
APACHE_SECTION = re.compile(r"<(/?)(\w+)\s*([^>]*)>?")
APACHE_INCLUDED = re.compile(r"^\s+\((?:\*|\d+)\) (/.*)$", re.MULTILINE)
APACHE_MODULE = re.compile(r"^ (\w+)_module \(", re.MULTILINE)
LIGHTTPD_SOCKET = re.compile(r'^\s*(?:if )?\$SERVER\["socket"\]\s*==\s*"([^"]*)"', re.MULTILINE)
LIGHTTPD_SETTING = r'^\s*server\.{0}\s*=\s*"?([^"\s]*)"?\s*$'


def apache_files(shown: str) -> list[str]:
    """The files of a configuration, as ``-D DUMP_INCLUDES`` lists them."""
    return list(dict.fromkeys(APACHE_INCLUDED.findall(shown)))


def apache_modules(shown: str) -> set[str]:
    """The modules that ``-D DUMP_MODULES`` lists, by their names without ``_module``."""
    return set(APACHE_MODULE.findall(shown))


def apache(text: str, modules: Iterable[str]) -> Iterator[Listen]:
    """The ``Listen`` lines of a file that count.

    :param modules: what is loaded.
    """
    known, open_sections = set(modules), [True]
    for line in text.splitlines():
        words = line.split()
        section = APACHE_SECTION.match(line.strip())
        if section and section[2].lower().startswith("if"):
            if section[1]:
                open_sections = open_sections[:-1] or [True]
            else:
                open_sections.append(section[2].lower() == "ifmodule" and is_loaded(section[3], known))
        elif len(words) > 1 and words[0].lower() == "listen" and all(open_sections):
            yield from listen(words[1])


def is_loaded(condition: str, modules: Iterable[str]) -> bool:
    """Whether what ``<IfModule>`` asks for holds: ``ssl_module``, ``mod_ssl.c``, ``!…``."""
    name = condition.strip().strip('"')
    wanted = re.sub(r"^mod_|_module$|\.c$", "", name.lstrip("!"))
    return (wanted in modules) is not name.startswith("!")


def lighttpd(shown: str) -> Iterator[Listen]:
    """The addresses of a configuration as ``-p`` prints it. Every IPv6 address is left out: lighttpd takes no IPv4 with it."""
    port, host = (re.search(LIGHTTPD_SETTING.format(name), shown, re.MULTILINE) for name in ("port", "bind"))
    first = f"{host[1] if host else ''}:{port[1]}" if port else ""
    for address in (first, *LIGHTTPD_SOCKET.findall(shown)):
        if not address.startswith(("/", "[::]")):
            yield from listen(address)


def listen(address: str) -> Iterator[Listen]:
    """``host:port``, or a port alone; nothing where it is something else."""
    match = PORT.fullmatch(address)
    if match and int(match[2]):
        yield match[1] or "", int(match[2])
