# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: what is always the same about a service, as data. What each one's own check misses is caught by ours, see ``guards.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

Command = Optional[tuple[str, ...]]

# Whether a process that one of these files names is there.
PID_FILES = (
    'for file; do pid=$(head -n 1 "$file" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && exit 0; done; exit 1',
    "sh",
)


@dataclass(frozen=True)
class Preset:
    """How a service is treated, as far as it is always the same.

    :param units: its systemd unit, under the names that distributions give it; the first that is there and is more than a
        bracket around others (``Type=oneshot``) counts. A pattern stands for all its instances.
    :param validate: what finds fault with its configuration.
    :param check_word: the argument that makes its program check its configuration and end; where its unit runs that program, the
        unit's own arguments count for the check.
    :param reload, check, start: commands where systemd does not run; ``check`` exits 0 when it runs.
    :param through_unit: where systemd runs, reload it through its unit.
    :param endpoints: where it usually serves TLS, as people write endpoints.
    :param programs: names of the processes that may hold its ports.
    :param user: who has to be able to read the private key; None: root.
    :param owner, group, mode: of the private key where the certificate does not say; owner None: its user.
    :param strict_key: it takes a key only of its own user's, for nobody else, or of root's, for no more than a group to read.
    :param eager: it reads its files whenever it starts a process, so that they may be taken before anybody validates them: its
        configuration is looked at before they are changed as well.
    :param guard: our own check of the service's configuration, by its name in ``guards.py``.
    :param control: how it takes a new pair where no command can tell it to: ``redis``, see ``redis_control.py``.
    """

    units: tuple[str, ...] = ()
    validate: Command = None
    check_word: str | None = None
    reload: Command = None
    check: Command = None
    start: Command = None
    through_unit: bool = True
    endpoints: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    user: str | None = None
    owner: str | None = None
    group: str | None = None
    mode: str | None = None
    strict_key: bool = False
    eager: bool = False
    guard: str | None = None
    control: str | None = None


def process_of(*pid_files: str) -> tuple[str, ...]:
    """A check: one of these files names a process that is there."""
    return ("sh", "-c", *PID_FILES, *pid_files)


def signal_to(signal: str, pid_file: str) -> tuple[str, ...]:
    """A reload: this signal to the process that the file names."""
    return ("sh", "-c", f'kill -{signal} "$(head -n 1 {pid_file})"')


PRESETS: dict[str, Preset] = {
    "nginx": Preset(
        units=("nginx",),
        validate=("nginx", "-t", "-q"),
        check_word="-t",
        reload=("nginx", "-s", "reload"),
        check=("test", "-s", "/run/nginx.pid"),
        start=("nginx",),
        endpoints=("127.0.0.1:443",),
        programs=("nginx",),
        guard="nginx",
    ),
    # Its -t misses all that matters here, and the graceful then ends the server.
    "apache": Preset(
        units=("apache2", "httpd"),
        validate=("apachectl", "-t"),
        reload=("apachectl", "graceful"),
        check=process_of("/run/apache2/apache2.pid", "/run/httpd/httpd.pid"),
        start=("apachectl", "start"),
        endpoints=("127.0.0.1:443",),
        programs=("apache2", "httpd"),
        guard="apache",
    ),
    # Wants certificate, chain and key in one file: an output of format combined.
    "haproxy": Preset(
        units=("haproxy",),
        # Without -W a "program" section is an error.
        validate=("haproxy", "-W", "-c", "-f", "/etc/haproxy/haproxy.cfg"),
        check_word="-c",
        reload=signal_to("USR2", "/run/haproxy.pid"),
        check=process_of("/run/haproxy.pid"),
        start=("haproxy", "-W", "-D", "-f", "/etc/haproxy/haproxy.cfg", "-p", "/run/haproxy.pid"),
        endpoints=("127.0.0.1:443",),
        programs=("haproxy",),
        guard="haproxy",
    ),
    # A reload keeps the old pair when the new one is bad, and says nothing; a restart then fails.
    "postgresql": Preset(
        units=("postgresql", "postgresql@*", "postgresql-*"),
        endpoints=("postgres://127.0.0.1:5432",),
        programs=("postgres", "postmaster"),
        user="postgres",
        strict_key=True,
        guard="postgresql",
    ),
    # Has neither a reload nor a check of its configuration.
    "redis": Preset(
        units=("redis-server", "redis", "valkey"),
        check=process_of("/run/redis/redis-server.pid", "/run/redis/redis.pid"),
        start=("redis-server", "/etc/redis/redis.conf", "--daemonize", "yes"),
        through_unit=False,
        endpoints=("127.0.0.1:6379", "127.0.0.1:6380"),
        programs=("redis-server", "valkey-server"),
        user="redis",
        guard="redis",
        control="redis",
    ),
    # Takes a mismatched pair, and then offers no TLS at all.
    "postfix": Preset(
        units=("postfix", "postfix@-"),
        validate=("postfix", "check"),
        reload=("postfix", "reload"),
        check=process_of("/var/spool/postfix/pid/master.pid"),
        start=("postfix", "start"),
        endpoints=("smtp://127.0.0.1:25",),
        programs=("master",),
        eager=True,
        guard="postfix",
    ),
    # Takes a mismatched pair, and then refuses every login.
    "dovecot": Preset(
        units=("dovecot",),
        validate=("doveconf", "-n"),
        reload=("doveadm", "reload"),
        check=process_of("/run/dovecot/master.pid"),
        start=("dovecot",),
        endpoints=("127.0.0.1:993", "imap://127.0.0.1:143", "127.0.0.1:995", "pop3://127.0.0.1:110"),
        programs=("dovecot", "imap-login", "pop3-login"),
        guard="dovecot",
    ),
    # Reads the key as the user it runs as, and ends when it cannot. -tt does not look at that.
    "lighttpd": Preset(
        units=("lighttpd",),
        validate=("lighttpd", "-tt", "-f", "/etc/lighttpd/lighttpd.conf"),
        check_word="-tt",
        reload=signal_to("USR1", "/run/lighttpd.pid"),
        check=process_of("/run/lighttpd.pid"),
        start=("lighttpd", "-f", "/etc/lighttpd/lighttpd.conf"),
        endpoints=("127.0.0.1:443",),
        programs=("lighttpd",),
        user="www-data",
        guard="lighttpd",
    ),
    # Without --force it finds the configuration unchanged. As root, validate would leave files that caddy cannot write to.
    "caddy": Preset(
        units=("caddy",),
        validate=(
            "runuser", "-u", "caddy", "--", "env", "HOME=/var/lib/caddy",
            "caddy", "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile",
        ),
        reload=("caddy", "reload", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile", "--force"),
        check=("pidof", "caddy"),
        start=("caddy", "start", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
        through_unit=False,
        endpoints=("127.0.0.1:443",),
        programs=("caddy",),
        user="caddy",
        guard="caddy",
    ),
}  # fmt: skip
