# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files the configurations of services name. Forty servers have forty languages; what they share is how paths look in them.

So whatever looks like the path of a file, and is one, counts as named. What is in the file tells afterwards whether it matters.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from ansible_collections.fleet.tls.plugins.module_utils.files.content import read

# Bytes, files, and paths of one service: no configuration is longer, and who has more is told of the first.
LONGEST_FILE = 2**20
MOST_FILES = 3000
MOST_PATHS = 2000
WORD = re.compile(r"[^\s\"'<>=;,(){}\[\]|]{3,1024}")
# Written without its directory, a file is known by its ending.
ENDINGS = (".pem", ".crt", ".cer", ".cert", ".key", ".chain")
# HAProxy reads all files of a directory.
DIRECTORY = re.compile(r"(?:^|\s)crt\s+\"?(/[^\s\"]+)")


def named_paths(configurations: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Service → the files that its configuration names, in its order, as it names them (relative ones made absolute).

    :param configurations: service → files and patterns (``**`` is any number of directories) of what it reads.
    """
    found = {}
    for service, patterns in configurations.items():
        paths = itertools.islice(dict.fromkeys(paths_named(patterns)), MOST_PATHS)
        found[service] = list(paths)
    return {service: paths for service, paths in found.items() if paths}


def paths_named(patterns: Iterable[str]) -> Iterator[str]:
    """The files that the files of one service name."""
    for pattern in patterns:
        root = pattern.partition("*")[0].rpartition("/")[0]
        for path in sorted(itertools.islice(glob.iglob(pattern, recursive=True), MOST_FILES)):
            if path.lower().endswith(ENDINGS) or not os.path.isfile(path):
                continue
            try:
                text = read(os.path.realpath(path), longest=LONGEST_FILE).decode(errors="replace")
            except OSError:
                continue
            yield from paths_in(text, (os.path.dirname(path), root))


def paths_in(text: str, bases: Iterable[str]) -> Iterator[str]:
    """The files that one configuration names.

    :param bases: directories that what is written without one may be in, besides those that the text names itself (``crt-base``).
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "//"))]
    words = list(dict.fromkeys(word for line in lines for word in WORD.findall(line)))[:MOST_PATHS]
    folders = [*dict.fromkeys((*bases, *(each for each in words if each.startswith("/") and os.path.isdir(each))))][:50]
    for word in words:
        if word.startswith("/"):
            if os.path.isfile(word):
                yield os.path.normpath(word)
        elif word.lower().endswith(ENDINGS):
            places = (os.path.normpath(os.path.join(folder, word)) for folder in folders if folder)
            found = next((each for each in places if os.path.isfile(each)), None)
            if found:
                yield found
    for folder in dict.fromkeys(match for line in lines for match in DIRECTORY.findall(line)):
        if os.path.isdir(folder):
            with os.scandir(folder) as inside:
                names = sorted(each.name for each in itertools.islice(inside, MOST_FILES) if each.is_file())
            # HAProxy passes over hidden ones.
            yield from (os.path.normpath(os.path.join(folder, name)) for name in names if not name.startswith("."))
