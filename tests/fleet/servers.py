# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nine services on one host, as an administrator would have set them up: each with a certificate of its own name, its own ports.

What each is configured with, where it serves, and how its administrator makes a mistake, as data, for every test that needs real ones.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet.fleet import Fleet

LIVE = "/etc/fleet-tls/live"
# A port that all hosts keep free for who takes it first, and one that is never used.
TAKEN_PORT = 7443


@dataclass(frozen=True)
class Server:
    """A service of a test host.

    :param units: its systemd unit, one of these names.
    :param files: path → content; ``{live}`` is the directory of its certificate.
    :param endpoints: as in an inventory.
    :param probe: (port, STARTTLS protocol) for a client from outside.
    :param typo: path and line that its own check finds fault with.
    :param listen: path and line that make it listen on :data:`TAKEN_PORT` as well; None: it does so at a restart only.
    :param owner: of its key by default.
    :param uninterrupted: whether a reload may not cost a single handshake.
    :param prepare: commands before its first start.
    :param certificate: more fields of its certificate.
    """

    name: str
    unit: str
    files: dict[str, str]
    endpoints: tuple[str, ...]
    probe: tuple[int, str | None]
    typo: tuple[str, str]
    listen: tuple[str, str] | None
    owner: str = "root"
    uninterrupted: bool = False
    prepare: tuple[tuple[str, ...], ...] = ()
    certificate: dict[str, Any] = field(default_factory=dict)

    @property
    def server_name(self) -> str:
        """The name that it is asked for."""
        return f"{self.name}.test"

    def wanted(self, **more: Any) -> dict[str, Any]:
        """Its entry of ``tls_certificates``."""
        services = [{"name": self.name, "endpoints": list(self.endpoints)}]
        return {
            "name": self.name, "issuer": "internal", "dns_names": [self.server_name], "services": services,
            **self.certificate, **more,
        }  # fmt: skip

    def start(self, fleet: Fleet, host: str) -> None:
        """Configure and start it; its certificate is there."""
        start(fleet, host, [self])

    def script(self, release: str) -> str:
        """What :meth:`start` runs on a host of this release."""
        words = {"live": f"{LIVE}/{self.name}", **RELEASES[release]}
        lines = []
        for path, content in self.files.items():
            where = shlex.quote(path.format(**words))
            lines.append(f"mkdir -p $(dirname {where})")
            lines.append(f"cat >{where} <<'END OF FILE'\n{content.format(**words)}END OF FILE")
        lines += [shlex.join(command) for command in self.prepare]
        return "\n".join([*lines, "systemctl daemon-reload", f"systemctl restart {self.unit}", ""])

    def stop(self, fleet: Fleet, host: str) -> None:
        """Stop it."""
        fleet.exec(host, ["systemctl", "stop", self.unit], check=False)


def start(fleet: Fleet, host: str, wanted: Sequence[Server]) -> None:
    """Configure and start services on a host, in one go."""
    release = release_of(fleet, host)
    fleet.exec(host, ["sh", "-e"], stdin="".join(server.script(release) for server in wanted))


def release_of(fleet: Fleet, host: str) -> str:
    """The Debian release of a host."""
    return next(each.release for each in fleet.hosts if each.name == host)


@contextlib.contextmanager
def changed_files(fleet: Fleet, changes: Iterable[tuple[str, str] | None]) -> Iterator[None]:
    """Files of the administrator's (path and line) with one more line each, on all hosts; afterwards they are as they were."""
    wanted = [change for change in changes if change is not None]
    undo: dict[str, str] = {}
    try:
        for host in fleet.addresses:
            words = RELEASES[release_of(fleet, host)]
            add, undo[host] = "", ""
            for number, (path, line) in enumerate(wanted):
                where, kept = shlex.quote(path.format(**words)), f"/root/before-{number}"
                add += f"test -e {where} && cp {where} {kept}\necho {shlex.quote(line)} >>{where}\n"
                undo[host] += f"if test -e {kept}; then cat {kept} >{where}; rm {kept}; else rm -f {where}; fi\n"
            fleet.exec(host, ["sh"], stdin=add)
        yield
    finally:
        for host, script in undo.items():
            fleet.exec(host, ["sh"], stdin=script)


NGINX = """server {{
    listen 443 ssl;
    ssl_certificate {live}/fullchain.pem;
    ssl_certificate_key {live}/privkey.pem;
    location / {{ return 200 "nginx"; }}
}}
"""
APACHE = """<VirtualHost *:8443>
    ServerName apache.test
    SSLEngine on
    SSLCertificateFile {live}/fullchain.pem
    SSLCertificateKeyFile {live}/privkey.pem
</VirtualHost>
"""
HAPROXY = """global
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend tls
    bind :9443 ssl crt /etc/haproxy/certs/haproxy.pem
    http-request return status 200 content-type text/plain string haproxy
"""
# A container has no user namespaces to give away.
REDIS_UNIT = "[Service]\nPrivateUsers=no\n"
REDIS = """bind 0.0.0.0
port 6379
tls-port 6380
tls-cert-file {live}/fullchain.pem
tls-key-file {live}/privkey.pem
tls-ca-cert-file {live}/chain.pem
tls-auth-clients no
protected-mode no
dir /var/lib/redis
logfile /var/log/redis/redis-server.log
supervised systemd
"""
POSTGRESQL = """ssl = on
ssl_cert_file = '{live}/fullchain.pem'
ssl_key_file = '{live}/privkey.pem'
listen_addresses = '*'
"""
POSTFIX = """compatibility_level = 3.6
myhostname = postfix.test
mydestination =
inet_interfaces = all
inet_protocols = ipv4
smtpd_tls_security_level = may
smtpd_tls_chain_files = {live}/privkey.pem, {live}/fullchain.pem
smtpd_relay_restrictions = reject_unauth_destination
"""
DOVECOT = """ssl = yes
{dovecot_cert}{live}/fullchain.pem
{dovecot_key}{live}/privkey.pem
"""
LIGHTTPD = """server.modules += ( "mod_openssl" )
server.document-root = "/var/www/html"
server.errorlog = "/var/log/lighttpd/error.log"
server.pid-file = "/run/lighttpd.pid"
server.username = "www-data"
server.groupname = "www-data"
server.port = 10443
ssl.engine = "enable"
ssl.pemfile = "{live}/fullchain.pem"
ssl.privkey = "{live}/privkey.pem"
"""
CADDY = """{{
    auto_https off
    default_sni caddy.test
}}
https://:{{$CADDY_PORT}} {{
    tls {live}/fullchain.pem {live}/privkey.pem
    respond "caddy"
}}
"""
# Its unit alone knows the port.
CADDY_UNIT = "[Service]\nEnvironment=CADDY_PORT=11443\n"

# What differs between the releases.
RELEASES = {
    "bookworm": {"pg": "/etc/postgresql/15/main/conf.d", "dovecot_cert": "ssl_cert = <", "dovecot_key": "ssl_key = <"},
    "trixie": {
        "pg": "/etc/postgresql/17/main/conf.d", "dovecot_cert": "ssl_server_cert_file = ",
        "dovecot_key": "ssl_server_key_file = ",
    },
}  # fmt: skip

SERVERS: tuple[Server, ...] = (
    Server(
        name="nginx",
        unit="nginx",
        files={"/etc/nginx/conf.d/tls.conf": NGINX},
        endpoints=("127.0.0.1:443",),
        probe=(443, None),
        typo=("/etc/nginx/conf.d/user.conf", "listn 1;"),
        listen=("/etc/nginx/conf.d/user.conf", f"server {{ listen {TAKEN_PORT}; }}"),
        uninterrupted=True,
        prepare=(("rm", "-f", "/etc/nginx/sites-enabled/default"),),
    ),
    Server(
        name="apache",
        unit="apache2",
        files={"/etc/apache2/ports.conf": "Listen 8443\n", "/etc/apache2/sites-enabled/tls.conf": APACHE},
        endpoints=("127.0.0.1:8443",),
        probe=(8443, None),
        typo=("/etc/apache2/sites-enabled/user.conf", "SSLEngin on"),
        listen=("/etc/apache2/sites-enabled/user.conf", f"Listen {TAKEN_PORT}"),
        uninterrupted=True,
        prepare=(("rm", "-f", "/etc/apache2/sites-enabled/000-default.conf"), ("a2enmod", "--quiet", "ssl")),
    ),
    Server(
        name="haproxy",
        unit="haproxy",
        files={"/etc/haproxy/haproxy.cfg": HAPROXY},
        endpoints=("127.0.0.1:9443",),
        probe=(9443, None),
        typo=("/etc/haproxy/haproxy.cfg", "    frobnicate on"),
        listen=("/etc/haproxy/haproxy.cfg", f"    bind :{TAKEN_PORT}"),
        uninterrupted=True,
        certificate={"outputs": [{"path": "/etc/haproxy/certs/haproxy.pem", "format": "combined"}]},
    ),
    Server(
        name="postgresql",
        unit="postgresql",
        files={"{pg}/tls.conf": POSTGRESQL},
        endpoints=("postgres://127.0.0.1:5432",),
        probe=(5432, "postgres"),
        typo=("{pg}/user.conf", "shared_bufers = '1MB'"),
        listen=None,
        owner="postgres",
    ),
    Server(
        name="redis",
        unit="redis-server",
        files={
            "/etc/redis/redis.conf": REDIS,
            "/etc/systemd/system/redis-server.service.d/container.conf": REDIS_UNIT,
        },
        endpoints=("127.0.0.1:6380",),
        probe=(6380, None),
        typo=("/etc/redis/redis.conf", "maxmemori 1mb"),
        listen=None,
        owner="redis",
        prepare=(("chown", "-R", "redis:redis", "/etc/redis"),),
    ),
    Server(
        name="postfix",
        unit="postfix",
        files={"/etc/postfix/main.cf": POSTFIX},
        endpoints=("smtp://127.0.0.1:25",),
        probe=(25, "smtp"),
        # In main.cf it would not need a reload to do harm: every process reads that file when it starts.
        typo=("/etc/postfix/master.cf", "frobnicate"),
        listen=("/etc/postfix/master.cf", f"{TAKEN_PORT} inet n - y - - smtpd"),
    ),
    Server(
        name="dovecot",
        unit="dovecot",
        files={"/etc/dovecot/local.conf": DOVECOT},
        endpoints=("127.0.0.1:993", "imap://127.0.0.1:143", "pop3://127.0.0.1:110"),
        probe=(143, "imap"),
        typo=("/etc/dovecot/local.conf", "frobnicate = yes"),
        listen=(
            "/etc/dovecot/local.conf",
            f"service imap-login {{\n  inet_listener user {{\n    port = {TAKEN_PORT}\n  }}\n}}",
        ),
    ),
    Server(
        name="lighttpd",
        unit="lighttpd",
        files={"/etc/lighttpd/lighttpd.conf": LIGHTTPD},
        endpoints=("127.0.0.1:10443",),
        probe=(10443, None),
        typo=("/etc/lighttpd/lighttpd.conf", "server.port = = 1"),
        listen=("/etc/lighttpd/lighttpd.conf", f'$SERVER["socket"] == ":{TAKEN_PORT}" {{ }}'),
        owner="www-data",
    ),
    Server(
        name="caddy",
        unit="caddy",
        files={"/etc/caddy/Caddyfile": CADDY, "/etc/systemd/system/caddy.service.d/port.conf": CADDY_UNIT},
        endpoints=("127.0.0.1:11443",),
        probe=(11443, None),
        typo=("/etc/caddy/Caddyfile", ":11444 {\n    frobnicate\n}"),
        listen=("/etc/caddy/Caddyfile", f"http://:{TAKEN_PORT} {{\n}}"),
        owner="caddy",
    ),
)
NAMES = tuple(server.name for server in SERVERS)
BY_NAME = dict(zip(NAMES, SERVERS))
