# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server started on trial, in namespaces of its own: its configuration and key material are tried out where nobody can reach it.

It has a network without anything in it, so that no port is taken and nobody is asked anything, a /run with nothing but the session
ticket keys that its configuration may name, and ends with us.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import MEMORY
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import WORDS_KEPT, environment, find_program
from ansible_collections.fleet.tls.plugins.module_utils.system.sockets import Listener, parse_table

TRIAL_SECONDS = 30
UNSHARE = ("unshare", "--net", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
# $1: directories below /run, $2: the file in which it notes its process id, the rest: the server, in the foreground. The addresses
# it listens on are not there, and binding to them has to succeed all the same. 125: the namespaces cannot be had.
SCRIPT = f"""
echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind || exit 125
test ! -e /proc/sys/net/ipv6 || echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind || exit 125
test ! -d {MEMORY} || exec 9<{MEMORY}
mount -t tmpfs -o mode=755 none /run && mkdir -p $1 /run/fleet-tls || exit 125
test ! -e /proc/self/fd/9 || {{ mkdir {MEMORY} && mount -c --bind /proc/self/fd/9 {MEMORY} && exec 9<&-; }} || exit 125
pid_file=$2 words=/run/fleet-tls/words; shift 2
"""
# Where it listens, once it has noted its process id. One that leaves the foreground all the same (status 0) notes it a little later.
AWAIT = """
"$@" >"$words" 2>&1 </dev/null &
server=$! away=
while ! test -s "$pid_file"; do
  test $away || kill -0 $server 2>/dev/null || { wait $server && away=yes; } || { cat "$words" >&2; exit 1; }
  sleep 0.05
done
exec cat /proc/net/tcp /proc/net/tcp6
"""


def try_out(command: Sequence[str], pid_file: str, directories: Sequence[str]) -> list[Listener] | None:
    """Start a server, wait until it serves, end it.

    :param command: it stays in the foreground.
    :param pid_file: below /run; it is there when the server is ready.
    :param directories: below /run, which have to be there.
    :returns: what it listened on; None: this host gives nobody namespaces, so it could not be tried.
    :raises StepError: validate_failed, with its own words: it would not come up.
    """
    program = find_program(UNSHARE[0])
    if program is None:
        return None
    script = ("sh", "-c", SCRIPT + AWAIT, "sh", " ".join(directories), pid_file, *command)
    try:
        ended = subprocess.run(  # pylint: disable=ansible-bad-function
            [program, *UNSHARE[1:], *script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StepError(
            "validate_failed",
            "'{0}', started on trial, did not come up within {1} s".format(" ".join(command), TRIAL_SECONDS),
            "look at what its configuration makes it wait for",
        ) from None
    except OSError:
        return None
    if ended.returncode == 0:
        return parse_table(ended.stdout.decode(errors="replace"))
    words = ended.stderr.decode(errors="replace").strip()
    if ended.returncode != 1 or words.startswith("unshare:"):
        return None
    raise StepError(
        "validate_failed",
        "'{0}', started on trial, does not come up: {1}".format(command[0], words[-WORDS_KEPT:] or "(it said nothing)"),
        "correct what it complains about, then run again",
    )
