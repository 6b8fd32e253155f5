# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a collection's artifact reproducible: the same files give the same bytes, whoever builds it, and when. Standard library only.

ansible-galaxy lists files in the order in which the disk has them, and writes the moment of the build and the builder into the archive.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

# They come first in the archive, as ansible-galaxy has them.
MANIFEST, FILES = "MANIFEST.json", "FILES.json"
Members = dict[str, tuple[tarfile.TarInfo, bytes]]


def normalize(artifact: Path, moment: int) -> str:
    """Write the artifact anew, with everything in order and as of one moment (seconds since the epoch); its SHA-256."""
    members = read(artifact)
    files = json.loads(members[FILES][1])
    files["files"].sort(key=lambda entry: entry["name"])
    members[FILES] = (members[FILES][0], encoded(files))
    manifest = json.loads(members[MANIFEST][1])
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(members[FILES][1]).hexdigest()
    members[MANIFEST] = (members[MANIFEST][0], encoded(manifest))
    data = packed(members, moment)
    artifact.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def read(artifact: Path) -> Members:
    """Name -> what the archive says of it, and content."""
    with tarfile.open(artifact) as archive:
        found = {}
        for member in archive.getmembers():
            opened = archive.extractfile(member) if member.isfile() else None
            found[member.name] = (member, opened.read() if opened else b"")
    return found


def packed(members: Members, moment: int) -> bytes:
    """The archive's bytes."""
    raw = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=moment) as zipped:
        with tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in (MANIFEST, FILES, *sorted(set(members) - {MANIFEST, FILES})):
                member, content = copy.copy(members[name][0]), members[name][1]
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mtime, member.size, member.pax_headers = moment, len(content), {}
                archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def encoded(value: object) -> bytes:
    """JSON as ansible-galaxy writes it."""
    return json.dumps(value, indent=True).encode()
