# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own checks of services whose own checks miss what a reload or the next restart would end them for.

Each of :data:`GUARDS` looks at the usual configuration as it is on disk now, and raises StepError ``validate_failed`` or ``port_taken``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Callable

from ansible_collections.fleet.tls.plugins.module_utils.commands import find_program, run
from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.presets import PRESETS
from ansible_collections.fleet.tls.plugins.module_utils.redis_control import config_file
from ansible_collections.fleet.tls.plugins.module_utils.sockets import Address, intruder
from ansible_collections.fleet.tls.plugins.module_utils.trial import try_out

APACHE_RUN = ("/run/apache2", "/run/httpd", "/run/lock/apache2")
APACHE_PID = "/run/fleet-tls/apache.pid"
# No server has an option of this name, so a complaint about it alone means that it has read everything before it.
UNKNOWN_OPTION = "fleet-tls-end-of-check"


def taken(places: Sequence[tuple[Address, int]], name: str) -> None:
    """:raises StepError: port_taken: another process holds a port that a service is configured to listen on."""
    found = intruder(places, PRESETS[name].programs)
    if found:
        port, pid, program = found
        raise StepError(
            "port_taken",
            "port {0} is held by '{1}' (process {2})".format(port, program, pid),
            "stop that process, or give one of them another port",
        )


def apache() -> None:
    """``apachectl -t`` passes mismatched pairs, garbage and taken ports, and the graceful restart then ends the server. So another
    one is started with this configuration where it disturbs nobody."""
    # Debian's script knows the settings that its configuration needs; that of other distributions takes no options.
    program = "apache2ctl" if find_program("apache2ctl") else "httpd"
    command = (program, "-D", "FOREGROUND", "-E", "/dev/stderr", "-c", "PidFile {0}".format(APACHE_PID))
    listened = try_out(command, APACHE_PID, APACHE_RUN)
    taken([(each.address, each.port) for each in listened or ()], "apache")


def postgresql() -> None:
    """A reload with a fault in the configuration is done by halves, in silence; the server's own program finds it. It has no command
    for that, but it reads all of it before it answers what one setting is."""
    for pid in processes_of(PRESETS["postgresql"].programs):
        words = command_line(pid)
        # Only that of the server itself has options; its children have titles.
        if len(words) > 1 and os.path.isabs(words[0]):
            run(("runuser", "-u", "postgres", "--", *words, "-C", "ssl"), "validate")


def redis() -> None:
    """Redis has no check of its configuration: it is given one with an unknown option at its end, of which alone it may complain."""
    program = next((name for name in PRESETS["redis"].programs if find_program(name)), None)
    path = config_file()
    if program is None or path is None:
        return
    try:
        run((program, path, "--" + UNKNOWN_OPTION, "yes"), "validate")
    except StepError as error:
        if UNKNOWN_OPTION in error.message.rpartition(">>>")[2]:
            return
        error.message = error.message.replace(" --{0} yes".format(UNKNOWN_OPTION), "")
        raise


def processes_of(names: Sequence[str]) -> list[int]:
    """The processes with one of these names."""
    found = []
    for pid in os.listdir("/proc"):
        try:
            if pid.isdecimal() and read_text("/proc/{0}/comm".format(pid)).strip() in names:
                found.append(int(pid))
        except OSError:
            continue
    return sorted(found)


def command_line(pid: int) -> tuple[str, ...]:
    """The words a process was started with; empty: it is gone."""
    try:
        return tuple(word for word in read_text("/proc/{0}/cmdline".format(pid)).split("\0") if word)
    except OSError:
        return ()


def read_text(path: str) -> str:
    """A file's content."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


GUARDS: dict[str, Callable[[], None]] = {"apache": apache, "postgresql": postgresql, "redis": redis}
