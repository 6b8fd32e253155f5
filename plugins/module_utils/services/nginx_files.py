# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's files and their grammar: which ones it reads, in which order, and the directives in them. They come from what ``nginx -T`` shows, or from
the disk: nginx' own check makes log and pid files, which ``--check`` may not.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_text
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import ask

FILE = re.compile(r"^# configuration file (\S.*):$", re.MULTILINE)
TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<comment>\#[^\n]*) | (?P<mark>[{};]) | "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)'
    | (?P<word>(?:[^\s;{}\\]|\\.|\$\{)(?:[^\s;{\\]|\\.|\$\{[^}]*\})*)""",
    re.VERBOSE | re.DOTALL,
)
LUA = re.compile(r"\w+_by_lua_block")
ESCAPED = re.compile(r"""\\(["'\\])""")
MOST_FILES = 2000
PROGRAMS = ("nginx", "openresty")
MAIN = "/etc/nginx/nginx.conf"
CONF_PATH = re.compile(r"--conf-path=(\S+)")
# Where it is no directive but a comment, a file too many is read, and then not used.
INCLUDE = re.compile(r"""(?:^|[\s;{}])include\s+["']?([^\s;"']+)["']?\s*;""")


@dataclass(frozen=True)
class Directive:
    """One directive: its words, where it is, and what is in its braces (None: it has none)."""

    words: tuple[str, ...]
    path: str
    line: int
    inside: tuple[Directive, ...] | None = None


def files_of(dump: str) -> dict[str, str]:
    """What ``nginx -T`` shows: path → text, the main file first."""
    parts = FILE.split(dump)
    # A newline stands between the line with the path and the text.
    return {path: text[1:] for path, text in zip(parts[1::2], parts[2::2])}


def files_on_disk(service_check: Sequence[str]) -> dict[str, str]:
    """The files that an nginx which is checked like this reads: path → text, the main file first; empty where that cannot be told."""
    command = tuple(service_check)
    if not command or os.path.basename(command[0]) not in PROGRAMS:
        return {}
    main = next((value for option, value in zip(command, command[1:]) if option == "-c"), None)
    if main is None:
        built = CONF_PATH.search(ask((command[0], "-V"))[2])
        main = built[1] if built else MAIN
    files: dict[str, str] = {}
    prefix, waiting = os.path.dirname(main), [main]
    while waiting and len(files) < MOST_FILES:
        path = waiting.pop(0)
        if path not in files:
            with contextlib.suppress(OSError):
                files[path] = read_text(path, follow=True)
                for pattern in INCLUDE.findall(files[path]):
                    waiting += sorted(glob.glob(os.path.join(prefix, pattern)))
    return files if main in files else {}


def directives_of(files: Mapping[str, str]) -> list[Directive]:
    """All directives of the main file, their includes put in.

    :raises ValueError: this is no configuration of nginx.
    """
    if not files:
        return []
    main = next(iter(files))
    return list(read_file(files, main, os.path.dirname(main), ()))


def read_file(files: Mapping[str, str], path: str, prefix: str, around: tuple[str, ...]) -> Iterator[Directive]:
    """A file's directives, those of the files that it includes in their place.

    :param prefix: where relative paths begin.
    :param around: the files that include this one.
    :raises ValueError: as :func:`directives_of`.
    """
    if path in around:
        raise ValueError(f"{path}: it includes itself")
    tokens = list(tokens_of(files[path], path))
    found, end = read_block(tokens, 0, path)
    if end != len(tokens):
        raise ValueError(f"{path}: a brace too many")
    yield from with_includes(files, found, prefix, (*around, path))


def with_includes(
    files: Mapping[str, str], directives: Iterable[Directive], prefix: str, around: tuple[str, ...]
) -> Iterator[Directive]:
    """Directives with what they include."""
    for each in directives:
        if each.words[0] == "include" and len(each.words) > 1:
            pattern = os.path.join(prefix, each.words[1])
            for path in sorted(known for known in files if matches(known, pattern)):
                yield from read_file(files, path, prefix, around)
        elif each.inside is not None:
            inside = tuple(with_includes(files, each.inside, prefix, around))
            yield Directive(each.words, each.path, each.line, inside)
        else:
            yield each


def matches(path: str, pattern: str) -> bool:
    """glob(3): a star stays within one directory, and finds no hidden file."""
    ours, theirs = path.split("/"), os.path.normpath(pattern).split("/")
    return len(ours) == len(theirs) and all(
        fnmatch.fnmatchcase(part, wanted) and not (part.startswith(".") and not wanted.startswith("."))
        for part, wanted in zip(ours, theirs)
    )


def tokens_of(text: str, path: str) -> Iterator[tuple[str, str, int]]:
    """``(kind, text, line)``; kinds are ``mark`` and ``word``.

    :raises ValueError: something that is no token.
    """
    at, line, lua = 0, 1, False
    while at < len(text):
        if lua and text[at] == "{":
            # A program: its braces count, its words do not.
            end = end_of_braces(text, at, path)
            yield "mark", ";", line
            line, at, lua = line + text.count("\n", at, end), end, False
            continue
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(f"{path}:{line}: no token")
        kind = match.lastgroup or ""
        if kind == "mark":
            yield kind, match[0], line
        elif kind in ("word", "double", "single"):
            yield "word", ESCAPED.sub(r"\1", match[kind]), line
            lua = LUA.fullmatch(match[kind]) is not None
        line, at = line + match[0].count("\n"), match.end()


def end_of_braces(text: str, at: int, path: str) -> int:
    """Behind the brace that closes the one at ``at``."""
    depth = 0
    for position in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    raise ValueError(f"{path}: a brace is missing")


def read_block(tokens: list[tuple[str, str, int]], at: int, path: str) -> tuple[list[Directive], int]:
    """The directives from token ``at`` on, and the position of the brace behind them, or of the end."""
    found: list[Directive] = []
    words: list[str] = []
    first = 0
    while at < len(tokens):
        kind, text, line = tokens[at]
        if kind == "word":
            first = first if words else line
            words.append(text)
        elif text == ";":
            if words:
                found.append(Directive(tuple(words), path, first))
            words = []
        elif text == "{":
            inside, at = read_block(tokens, at + 1, path)
            if at >= len(tokens):
                raise ValueError(f"{path}: a brace is missing")
            if words:
                found.append(Directive(tuple(words), path, first, tuple(inside)))
            words = []
        else:
            break
        at += 1
    return found, at
