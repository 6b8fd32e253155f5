# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the program openssl can do in a handshake: ask for a stapled answer, offer some signature algorithms."""

from __future__ import annotations

import os.path
import subprocess
from collections.abc import Sequence

from ansible_collections.fleet.tls.plugins.module_utils.system.commands import environment, find_program
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError

# What is read of the program's words.
MOST_CHARACTERS = 256 * 1024


def ask(endpoint: Endpoint, wishes: Sequence[str]) -> str:
    """What ``openssl s_client`` prints about a handshake, within the endpoint's time limit.

    :param wishes: further options of ``s_client``.
    :raises HandshakeError: it cannot be run, or the time was up.
    """
    program = find_program("openssl")
    if program is None:
        raise HandshakeError("there is no program openssl here")
    try:
        ended = subprocess.run(  # pylint: disable=ansible-bad-function
            [program, *arguments(endpoint, wishes)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            timeout=endpoint.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HandshakeError(f"timed out after {endpoint.timeout:g} s") from None
    except OSError as error:
        raise HandshakeError(f"openssl cannot be run: {error.strerror}") from None
    return ended.stdout[:MOST_CHARACTERS].decode(errors="replace")


def arguments(endpoint: Endpoint, wishes: Sequence[str]) -> list[str]:
    """The command line less the program."""
    said = ["s_client", *wishes, "-connect", endpoint.address]
    name = (endpoint.server_name or "").rstrip(".")
    said += (
        ["-servername", name] if name and not name.replace(".", "").isdigit() and ":" not in name else ["-noservername"]
    )
    if endpoint.starttls:
        said += ["-starttls", endpoint.starttls]
    if endpoint.client_certificate:
        files = (endpoint.client_certificate, endpoint.client_key or endpoint.client_certificate)
        # "~" is the probing machine's, and no shell expands it.
        said += ["-cert", os.path.expanduser(files[0]), "-key", os.path.expanduser(files[1])]
    return said
