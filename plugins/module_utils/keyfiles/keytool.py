# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Java's keystores with the ``keytool`` program of a Java runtime, 8 to 25. Nothing secret is on its command line."""

from __future__ import annotations

import glob
import subprocess

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read
from ansible_collections.fleet.tls.plugins.module_utils.files.places import remove_if_there
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import environment, find_program
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import in_memory

SECONDS = 120.0
WORDS_KEPT = 600
# Of a Java without links in the search path.
PLACES = ("/usr/lib/jvm/*/bin/keytool", "/usr/java/*/bin/keytool", "/opt/java/*/bin/keytool")


def program() -> str:
    """Path of the program.

    :raises StepError: keytool_missing.
    """
    found = find_program("keytool") or next((path for each in PLACES for path in sorted(glob.glob(each))), None)
    if found is None:
        raise StepError(
            "keytool_missing",
            "an output of format jks needs the program 'keytool', which is not on the host",
            "install a Java runtime there (default-jre-headless, java-17-openjdk-headless), or use format: pkcs12, which Java reads too",
        )
    return found


def jks(pkcs12: bytes, passphrase: str, scratch: str) -> bytes:
    """A PKCS#12 file as a keystore of type JKS: the same entry under the same name.

    :param passphrase: of both, and of the key inside; at least six characters, ASCII.
    :param scratch: a path in a directory that is ours: keytool writes nowhere else than to a file. It is gone afterwards.
    :raises StepError: keytool_missing, keytool_failed (with its own words, which hold no secret). OSErrors as they come.
    """
    remove_if_there(scratch)
    try:
        with in_memory(pkcs12) as source, in_memory(passphrase.encode() + b"\n") as secret:
            descriptors = (source, secret)
            given, word = (f"/proc/self/fd/{each}" for each in descriptors)
            call(
                [
                    "-importkeystore", "-noprompt",
                    "-srckeystore", given, "-srcstoretype", "PKCS12", "-srcstorepass:file", word,
                    "-destkeystore", scratch, "-deststoretype", "JKS", "-deststorepass:file", word,
                ],
                descriptors,
            )  # fmt: skip
        return read(scratch)
    finally:
        remove_if_there(scratch)


def call(arguments: list[str], descriptors: tuple[int, ...]) -> None:
    """Run it.

    :param descriptors: what it is to find open.
    :raises StepError: keytool_missing, keytool_failed.
    """
    try:
        ended = subprocess.run(  # pylint: disable=ansible-bad-function
            [program(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=descriptors,
            # Java prints options that it finds there, and whoever set them may have put a secret among them.
            env={
                name: value
                for name, value in environment().items()
                if not name.endswith(("JAVA_OPTIONS", "TOOL_OPTIONS"))
            },
            timeout=SECONDS,
            check=False,
            start_new_session=True,
            # What it writes is nobody else's to read, from the first byte.
            umask=0o077,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise StepError("keytool_failed", f"keytool: {error}", "see what keeps it on the host") from None
    if ended.returncode != 0:
        words = ended.stdout.decode(errors="replace").strip()[-WORDS_KEPT:]
        raise StepError(
            "keytool_failed",
            f"keytool: {words or f'it ended with {ended.returncode}'}",
            f"see whether '{program()} -help' works on the host",
        )
