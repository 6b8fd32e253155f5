# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``files``: every certificate and private key below some paths, whoever put it there.

Of a private key the answer has the digest of its public half and nothing else. Nothing is written, and no process is started but for
keys that do not hold their public half, and for PKCS#12.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fnmatch
import functools
import glob
import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.files.content import UnusableFile, digest, regular_file
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import group_name, user_name
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.reading import as_answer, content_of
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import Layout, generation_number

# Bytes: no certificate file is longer, and a log that lies among them is not read.
LONGEST_FILE = 2 * 2**20
MOST_BYTES = 16 * 2**20
MOST_FILES = 20000
# Before each passphrase that comes.
SALT_BYTES = 16
MOST_ENTRIES = 5000
# What cannot be read is worth telling only where the name promises something.
SUFFIXES = (".pem", ".crt", ".cer", ".cert", ".der", ".key", ".p12", ".pfx", ".jks", ".keystore")


@dataclass
class Findings:
    """What was found so far. ``certificates``: digest → DER; ``entries``: by the real path."""

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    certificates: dict[str, bytes] = field(default_factory=dict)
    seen: int = 0
    held: int = 0

    @property
    def too_much(self) -> str | None:
        """Why nothing more is read, in words; None: there is room."""
        if self.seen >= MOST_FILES:
            return f"there are more than {MOST_FILES} files"
        if len(self.entries) >= MOST_ENTRIES:
            return f"more than {MOST_ENTRIES} files have certificates or keys"
        if self.held >= MOST_BYTES:
            return f"the certificates have more than {MOST_BYTES // 2**20} MiB"
        return None

    def add(self, certificates: Iterable[bytes]) -> list[str]:
        """Keep certificates, each once; their digests."""
        digests = []
        for der in certificates:
            digests.append(digest(der))
            if digests[-1] not in self.certificates:
                self.certificates[digests[-1]] = der
                self.held += len(der)
        return digests


def files_step(request: dict[str, Any], secrets: Mapping[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md."""
    directory = request["directory"]
    own = [os.path.join(directory, part) for part in ("generations", "pending")]
    passphrases = [base64.b64decode(secrets[each])[SALT_BYTES:].decode() for each in sorted(secrets)]
    findings, none = Findings(), set()
    truncated = None
    named: dict[str, list[str]] = {}
    if request.get("configurations"):
        # Late: only who takes over what others have made asks for it.
        from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.named_paths import named_paths

        named = named_paths(request["configurations"])
    # First, so that a file goes by the name that its service has for it.
    paths = [*dict.fromkeys(path for each in named.values() for path in each), *request["paths"]]
    for path in candidates(paths, [*request["exclude"], *(each + "/*" for each in own)]):
        truncated = findings.too_much
        if truncated:
            break
        real = os.path.realpath(path)
        if real in findings.entries:
            known = findings.entries[real]
            if path != known["path"] and path not in known["links"]:
                known["links"].append(path)
            continue
        if real in none or excluded(real, request["exclude"]):
            continue
        findings.seen += 1
        entry = entry_of(path, real, directory, passphrases, findings)
        if entry:
            findings.entries[real] = entry
        else:
            none.add(real)
    return False, {
        "files": list(findings.entries.values()),
        "certificates": {name: base64.b64encode(der).decode() for name, der in findings.certificates.items()},
        "truncated": truncated,
        "named": named,
    }


def candidates(paths: Iterable[str], exclude: Sequence[str]) -> Iterator[str]:
    """The files that paths, patterns and directories stand for, each directory's in order of their names."""
    for wanted in paths:
        for path in expanded(wanted) if glob.has_magic(wanted) else [wanted]:
            if not os.path.isdir(path):
                if os.path.isfile(path) and not excluded(path, exclude):
                    yield path
                continue
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(each for each in folders if not excluded(os.path.join(folder, each), exclude))
                for name in sorted(names):
                    inner = os.path.join(folder, name)
                    if not excluded(inner, exclude):
                        yield inner


def expanded(pattern: str) -> list[str]:
    """What a pattern stands for. ``**`` follows links, in circles if need be, so it is bounded and the shortest paths come first."""
    found = itertools.islice(glob.iglob(pattern, recursive=True), MOST_FILES)
    return sorted(found, key=lambda path: (path.count(os.sep), path))


def excluded(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path is one of those, or lies below."""
    return any(fnmatch.fnmatchcase(path, each) or fnmatch.fnmatchcase(path + "/", each) for each in patterns)


def entry_of(
    path: str, real: str, directory: str, passphrases: Sequence[str], findings: Findings
) -> dict[str, Any] | None:
    """One file; None: it has neither a certificate nor a private key."""
    entry: dict[str, Any] = {
        "path": path, "links": [] if path == real else [real], "format": None, "size": None, "owner": None, "group": None,
        "mode": None, "others": False, "managed": managed_name(real, directory), "certificates": [], "keys": [], "error": None,
    }  # fmt: skip
    try:
        with regular_file(real) as (stream, about):
            data = stream.read(LONGEST_FILE) if 0 < about.st_size <= LONGEST_FILE else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        if isinstance(error, UnusableFile) and error.errno == errno.EINVAL:
            return None
        entry["error"] = error.strerror or str(error)
        return entry if path.lower().endswith(SUFFIXES) else None
    content = content_of(data, passphrases)
    if content is None:
        return None
    mode = stat.S_IMODE(about.st_mode)
    entry.update(
        format=content.format,
        size=about.st_size,
        owner=user_name(about.st_uid),
        group=group_name(about.st_gid),
        mode=f"{mode:04o}",
        others=bool(mode & stat.S_IROTH) and open_to_others(os.path.dirname(real)),
        certificates=findings.add(content.certificates),
        keys=as_answer(content.keys),
        error=content.error,
    )
    return entry


@functools.lru_cache(maxsize=4096)
def open_to_others(folder: str) -> bool:
    """Whether everybody gets through a directory and all above it, as far as their modes say."""
    with contextlib.suppress(OSError):
        if os.stat(folder).st_mode & stat.S_IXOTH:
            parent = os.path.dirname(folder)
            return parent == folder or open_to_others(parent)
    return False


def managed_name(real: str, directory: str) -> str | None:
    """Whose live generation a file belongs to; None: it belongs to none."""
    root = os.path.join(os.path.realpath(directory), "generations") + os.sep
    parts = real[len(root) :].split(os.sep) if real.startswith(root) else []
    if len(parts) == 3 and generation_number(parts[1]) is not None:
        return parts[0] if Layout(directory, parts[0]).current() == int(parts[1]) else None
    return None
