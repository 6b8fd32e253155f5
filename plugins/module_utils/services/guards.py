# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own checks of a service's configuration as it is on disk, for what its own check misses and a reload or the next start ends it for.

Each of :data:`GUARDS` raises StepError ``validate_failed`` or ``port_taken``, before the service is told anything.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import pwd
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Callable

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_text
from ansible_collections.fleet.tls.plugins.module_utils.services import (
    haproxy_config,
    listening,
    nginx_config,
    nginx_files,
)
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service, shown_by
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import account_of
from ansible_collections.fleet.tls.plugins.module_utils.services.redis_control import config_file
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import find_program, output_of, run
from ansible_collections.fleet.tls.plugins.module_utils.system.sockets import (
    Place,
    intruder,
    is_of_this_host,
    local_addresses,
)

# No server has an option of this name, so a complaint about it alone means that it has read everything before it.
UNKNOWN_OPTION = "fleet-tls-end-of-check"
# It says what is wrong to us instead of to its log, and leaves no trace.
REDIS_OPTIONS = ("--daemonize", "no", "--supervised", "no", "--pidfile", "", "--logfile", "")
ANYWHERE = ("*", "", "all")
# For hosts without /etc/services.
MAIL_PORTS = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587}
DOVECOT_LISTENER = re.compile(r"inet_listener[^{]*\{([^}]*)\}")


def apache(service: Service) -> Iterable[Place]:
    """A graceful restart that cannot bind ends the server, and ``-t`` does not try."""
    shown = shown_by(service, "-t", "-t", "-D", "DUMP_INCLUDES", "-D", "DUMP_MODULES")
    modules = listening.apache_modules(shown)
    for path in listening.apache_files(shown):
        for host, port in listening.apache(read_whole(path), modules):
            yield from places(host, port)


def haproxy(service: Service) -> Iterable[Place]:
    """``-c`` does not bind; a reload that then cannot makes the old process pause all of its listeners."""
    files = haproxy_config.configuration_files(service.validate or ())
    for bind in haproxy_config.binds(haproxy_config.read_lines(files, ours=True)):
        for port in range(bind.first, bind.last + 1):
            yield from places(bind.host, port, v6only=not bind.dual)


def lighttpd(service: Service) -> Iterable[Place]:
    """``-tt`` does not bind, and a reload that then cannot ends it."""
    for host, port in listening.lighttpd(shown_by(service, "-tt", "-p")):
        yield from places(host, port)


def nginx(service: Service) -> Iterable[Place]:
    """A reload that cannot bind is given up by the master, which tells nobody but its log."""
    with contextlib.suppress(ValueError):  # nginx has found no fault with it
        for server in nginx_config.servers(nginx_files.files_of(shown_by(service, "-t", "-T"))):
            for listen in server.listens:
                yield from places(listen.host, listen.port, v6only=listen.v6only)


def postfix(_service: Service) -> Iterable[Place]:
    """A reload that cannot bind, or cannot read master.cf, ends the master."""
    run(("postconf", "-M"), "validate")
    interfaces = output_of(("postconf", "-h", "inet_interfaces")).replace(",", " ").split()
    for line in output_of(("postconf", "-M")).splitlines():
        words = line.split()
        if len(words) > 1 and words[1] == "inet":
            host, _colon, service = words[0].rpartition(":")
            port = port_of(service)
            for each in [host] if host else interfaces:
                if port:
                    yield from places("127.0.0.1" if each == "loopback-only" else each, port, v6only=True)


def dovecot(_service: Service) -> Iterable[Place]:
    """A reload that cannot bind goes on without that listener; the next start fails."""
    # Without -n it shows the listeners of protocols that are switched off as well.
    shown = output_of(("doveconf", "-n"))
    everywhere = re.search(r"^listen = (.*)$", shown, re.MULTILINE)
    for block in DOVECOT_LISTENER.findall(shown):
        settings = dict(re.findall(r"(\w+) = (.*)", block))
        hosts = (settings.get("address") or settings.get("listen") or (everywhere[1] if everywhere else "*")).replace(
            ",", " "
        )
        port = port_of(settings.get("port", "0"))
        for host in hosts.split() if port else ():
            yield from places(host, port, v6only=True)


def caddy(service: Service) -> Iterable[Place]:
    """A reload that cannot bind is refused, after it has taken the new certificate into use."""
    adapted = json.loads(
        output_of(("caddy", "adapt", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"), service.environment)
        or "{}"
    )
    servers = ((adapted.get("apps") or {}).get("http") or {}).get("servers") or {}
    for server in servers.values():
        for listen in server.get("listen") or ():
            host, _colon, port = listen.rpartition("/")[2].rpartition(":")
            if port.isdecimal() and not listen.startswith(("udp/", "unix")):
                yield from places(host, int(port))


def postgresql(service: Service) -> Iterable[Place]:
    """A reload with a fault in the configuration is done by halves, in silence; the server's own program finds it. It has no command
    for that, but it reads all of it before it answers what one setting is. Ports change with a restart only."""
    account = account_of(service)
    for pid in processes_of(service.programs):
        words = command_line(pid)
        # Only the server itself was started by its path; its children have titles. Another user's is another service: its faults are no
        # reason to refuse, and it would not take its configuration from this user.
        if len(words) > 1 and os.path.isabs(words[0]) and runs_as(pid, account):
            run(("runuser", "-u", account.pw_name, "--", *words, "-C", "ssl"), "validate")
    return ()


def redis(service: Service) -> Iterable[Place]:
    """There is no check of the configuration: it is given one with an unknown option at its end, of which alone it may complain. Ports
    change with a restart only."""
    program = next((name for name in service.programs if find_program(name)), None)
    path = config_file(service.config_files)
    if program is None or path is None:
        return ()
    try:
        run((program, path, *REDIS_OPTIONS, "--" + UNKNOWN_OPTION, "yes"), "validate")
    except StepError as error:
        complaints = re.findall(">>> '(.*)'", error.message)
        if not complaints or not all(UNKNOWN_OPTION in each for each in complaints):
            error.message = error.message.replace(f"--{UNKNOWN_OPTION} yes", "...")
            raise
    return ()


def read_whole(path: str) -> str:
    """A file of a configuration; empty where it cannot be read."""
    try:
        return read_text(path, follow=True)
    except OSError:
        return ""


def places(host: str, port: int, *, v6only: bool = False) -> Iterator[Place]:
    """The addresses of this host that a server listens on where its configuration says this."""
    if host in ANYWHERE:
        yield Place(ipaddress.ip_address("0.0.0.0"), port)
    elif ":" in host:
        with contextlib.suppress(ValueError):
            yield Place(ipaddress.ip_address(host.strip("[]")), port, v6only)
    else:
        for address in local_addresses(host):
            yield Place(address, port)


def port_of(service: str) -> int:
    """The port of a service's name or number; 0: none."""
    if service.isdecimal():
        return int(service)
    try:
        return socket.getservbyname(service, "tcp")
    except OSError:
        return MAIL_PORTS.get(service, 0)


def runs_as(pid: int, account: pwd.struct_passwd) -> bool:
    """Whether a process is of this user, who has a name here."""
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid == account.pw_uid and not account.pw_name.isdecimal()
    return False


def processes_of(names: Sequence[str]) -> list[int]:
    """The processes with one of these names, those of containers left out."""
    found = []
    for pid in os.listdir("/proc"):
        try:
            if pid.isdecimal() and read_text(f"/proc/{pid}/comm").strip() in names and is_of_this_host(pid):
                found.append(int(pid))
        except OSError:
            continue
    return sorted(found)


def command_line(pid: int) -> tuple[str, ...]:
    """The words a process was started with; empty: it is gone."""
    try:
        return tuple(word for word in read_text(f"/proc/{pid}/cmdline").split("\0") if word)
    except OSError:
        return ()


def guarded(wanted: Callable[[Service], Iterable[Place]]) -> Callable[[Service], None]:
    """A guard: look at the configuration, and that nobody else has the ports it wants."""

    def guard(service: Service) -> None:
        found = intruder(list(wanted(service)), service.programs, anywhere=service.anywhere)
        if found:
            port, pid, program = found
            raise StepError(
                "port_taken",
                f"its configuration wants port {port}, which is held by '{program}' (process {pid})",
                "stop that process, or give one of them another port",
            )

    return guard


LOOKS: dict[str, Callable[[Service], Iterable[Place]]] = {
    "nginx": nginx, "apache": apache, "haproxy": haproxy, "lighttpd": lighttpd, "postfix": postfix, "dovecot": dovecot,
    "caddy": caddy, "postgresql": postgresql, "redis": redis,
}  # fmt: skip
GUARDS: dict[str, Callable[[Service], None]] = {name: guarded(look) for name, look in LOOKS.items()}
