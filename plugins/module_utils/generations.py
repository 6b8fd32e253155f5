# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a certificate lives on a host, and what its files are made of. The layout is in docs/architecture.md."""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files import link_target, make_directory, replace_file

PRIVKEY, CERT, CHAIN, FULLCHAIN, MANIFEST = "privkey.pem", "cert.pem", "chain.pem", "fullchain.pem", "manifest.json"
PUBLIC_FILES = (CERT, CHAIN, FULLCHAIN)
PUBLIC_MODE = "0644"
LOCK_SECONDS = 60.0
BLOCK = re.compile("-----BEGIN CERTIFICATE-----\\s+([A-Za-z0-9+/=\\s]+?)-----END CERTIFICATE-----")


class Layout(NamedTuple):
    """The places of one certificate below the collection's directory on the host."""

    directory: str
    name: str

    @property
    def live(self) -> str:
        """The link to the generation in use."""
        return os.path.join(self.directory, "live", self.name)

    @property
    def generations(self) -> str:
        """The directory of all generations."""
        return os.path.join(self.directory, "generations", self.name)

    @property
    def pending(self) -> str:
        """The directory of a key that waits for its certificate."""
        return os.path.join(self.directory, "pending", self.name)

    def generation(self, number: int) -> str:
        """The directory of one generation."""
        return os.path.join(self.generations, str(number))

    def target(self, number: int) -> str:
        """What the live link says for a generation."""
        return os.path.join("..", "generations", self.name, str(number))

    def current(self) -> int | None:
        """The number of the live generation; None: no link, or one that is not ours."""
        target = link_target(self.live) or ""
        number = generation_number(os.path.basename(target))
        return number if number is not None and target == self.target(number) else None

    def numbers(self) -> list[int]:
        """All generations there are, oldest first."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            numbers = (generation_number(name) for name in os.listdir(self.generations))
            return sorted(number for number in numbers if number is not None)
        return []

    def manifest(self, number: int) -> dict[str, Any] | None:
        """The manifest of a generation; None: there is none that can be read and has the form of one."""
        try:
            found = json.loads(read(os.path.join(self.generation(number), MANIFEST)))
        except (OSError, ValueError):
            return None
        return found if is_manifest(found) else None

    def prune(self, keep: int) -> None:
        """Remove what a killed staging left, and all but the newest ``keep`` generations; never the live one."""
        live = self.current()
        complete = [number for number in self.numbers() if self.manifest(number) is not None]
        kept = {live, *complete[-keep:]}
        if live is not None:
            # The one before the live one is what a roll-back by hand needs, more than one that never was live.
            kept = {live, *[number for number in complete if number < live][-(keep - 1) :]} if keep > 1 else {live}
        for number in self.numbers():
            if number not in kept:
                shutil.rmtree(self.generation(number), ignore_errors=True)


def generation_number(name: str) -> int | None:
    """The number that a generation's directory has for its name; None: it is not one of ours."""
    return int(name) if re.fullmatch("[1-9][0-9]{0,8}", name) else None


def is_manifest(found: Any) -> bool:
    """Whether what was read has the parts that the host itself goes by."""
    if not isinstance(found, dict) or not isinstance(found.get("fingerprint"), str):
        return False
    outputs = found.get("outputs")
    if not isinstance(found.get("files"), dict) or not isinstance(outputs, dict):
        return False
    return all(isinstance(each, dict) for each in outputs.values())


def read(path: str) -> bytes:
    """A file's content."""
    with open(path, "rb") as stream:
        return stream.read()


def read_if_there(path: str) -> bytes | None:
    """A file's content; None: there is none."""
    try:
        return read(path)
    except FileNotFoundError:
        return None


def digest(data: bytes) -> str:
    """SHA-256, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(pem: bytes) -> str | None:
    """SHA-256 (hex) of the DER form of the first certificate in a PEM text; None: there is none that is complete."""
    der = leaf_der(pem)
    return None if der is None else digest(der)


def leaf_der(pem: bytes) -> bytes | None:
    """The DER form of the first certificate in a PEM text; None: there is none that is complete."""
    match = BLOCK.search(pem.decode(errors="replace"))
    if not match:
        return None
    try:
        return base64.b64decode(match.group(1), validate=False)
    except (binascii.Error, ValueError):
        return None


def output_file(path: str) -> str:
    """The name that an output has inside a generation."""
    return "output-{0}".format(digest(path.encode())[:12])


def as_json(content: dict[str, Any]) -> bytes:
    """A JSON file's content, the same for the same."""
    return json.dumps(content, indent=1, sort_keys=True).encode()


def write_json(path: str, content: dict[str, Any], mode: str = "0600") -> None:
    """Replace a JSON file durably."""
    replace_file(path, as_json(content), mode=mode)


@contextlib.contextmanager
def host_lock(directory: str, wait: float = LOCK_SECONDS) -> Iterator[None]:
    """One writing step at a time on a host; the kernel ends the lock with its holder.

    :param wait: seconds.
    :raises StepError: busy; or the directory cannot be made.
    """
    try:
        make_directory(directory, 0o755)
        descriptor = os.open(
            os.path.join(directory, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError as error:
        raise from_os_error(error, "preparing {0}".format(directory)) from error
    try:
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise StepError(
                        "busy",
                        "another run has worked on this host for {0:g} s".format(wait),
                        "wait until it has ended, then run again",
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
