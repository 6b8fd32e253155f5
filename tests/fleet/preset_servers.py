# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of the presets beyond the nine of ``servers.py``, as an administrator would set them up, each with a certificate of its own.

A new preset is a new entry here. Two hosts share them, because some packages exclude each other (FTP servers, loggers).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

LIVE = "/etc/fleet-tls/live"


@dataclass(frozen=True)
class PresetServer:
    """A service of a test host.

    :param preset: its preset's name, which is its certificate's too.
    :param host: where it runs, ``one`` or ``two``.
    :param packages: that it is made of, in Debian 13.
    :param unit: its systemd unit there.
    :param probe: (port, STARTTLS protocol) for a client from outside.
    :param files: path → content; ``{live}`` is the directory of its certificate.
    :param before: shell lines before its first start; ``{live}`` as well.
    :param after: and after it.
    :param certificate: more fields of its certificate.
    :param endpoints: where it serves, where that is not where its preset says.
    """

    preset: str
    host: str
    packages: tuple[str, ...]
    unit: str
    probe: tuple[int, str | None]
    files: dict[str, str]
    before: str = ""
    after: str = ""
    certificate: dict[str, Any] = field(default_factory=dict)
    endpoints: tuple[str, ...] = ()

    @property
    def server_name(self) -> str:
        """The name that it is asked for."""
        return f"{self.preset}.test"

    def wanted(self) -> dict[str, Any]:
        """Its entry of ``tls_certificates``."""
        service: Any = {"name": self.preset, "endpoints": list(self.endpoints)} if self.endpoints else self.preset
        names = {"dns_names": [self.server_name], "services": [service]}
        return {"name": self.preset, "issuer": "internal", **names, **self.certificate}

    def script(self) -> str:
        """Shell lines that configure it; its certificate is there."""
        live = f"{LIVE}/{self.preset}"
        # A container has no user namespaces to give away.
        files = {
            f"/etc/systemd/system/{self.unit}.service.d/container.conf": "[Service]\nPrivateUsers=no\n",
            **self.files,
        }
        lines = []
        for path, content in files.items():
            lines.append(f"mkdir -p $(dirname {shlex.quote(path)})")
            lines.append(f"cat >{shlex.quote(path)} <<'END OF FILE'\n{content.replace('{live}', live)}END OF FILE")
        return "\n".join([*lines, self.before.replace("{live}", live), ""])


MARIADB = """[mysqld]
bind-address = 0.0.0.0
ssl_cert = {live}/fullchain.pem
ssl_key = {live}/privkey.pem
"""
SLAPD = """dn: cn=config
changetype: modify
replace: olcTLSCertificateFile
olcTLSCertificateFile: {live}/fullchain.pem
-
replace: olcTLSCertificateKeyFile
olcTLSCertificateKeyFile: {live}/privkey.pem
"""
RABBITMQ = """listeners.ssl.default = 5671
ssl_options.cacertfile = {live}/chain.pem
ssl_options.certfile = {live}/fullchain.pem
ssl_options.keyfile = {live}/privkey.pem
ssl_options.verify = verify_none
"""
MOSQUITTO = """listener 8883
certfile {live}/fullchain.pem
keyfile {live}/privkey.pem
allow_anonymous true
"""
RSYSLOG = """global(
    DefaultNetstreamDriver="ossl"
    DefaultNetstreamDriverCAFile="{live}/chain.pem"
    DefaultNetstreamDriverCertFile="{live}/fullchain.pem"
    DefaultNetstreamDriverKeyFile="{live}/privkey.pem"
)
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="6514")
"""
PROSODY = """VirtualHost "prosody.test"
    ssl = { certificate = "{live}/fullchain.pem", key = "{live}/privkey.pem" }
"""
VSFTPD = """listen=YES
listen_ipv6=NO
local_enable=YES
secure_chroot_dir=/var/run/vsftpd/empty
pam_service_name=vsftpd
seccomp_sandbox=NO
ssl_enable=YES
ssl_ciphers=HIGH
rsa_cert_file={live}/fullchain.pem
rsa_private_key_file={live}/privkey.pem
"""
EXIM4 = """primary_hostname = exim4.test
daemon_smtp_ports = 25
tls_advertise_hosts = *
tls_certificate = {live}/fullchain.pem
tls_privatekey = {live}/privkey.pem
"""
BIND9 = """tls own { cert-file "/etc/bind/tls/fullchain.pem"; key-file "/etc/bind/tls/privkey.pem"; };
options {
    directory "/var/cache/bind";
    listen-on port 53 { 127.0.0.1; };
    listen-on port 853 tls own { any; };
    listen-on-v6 { none; };
    recursion no;
    dnssec-validation no;
};
"""
STUNNEL = """foreground = yes
[tls]
accept = 443
connect = 127.0.0.1:9
cert = {live}/fullchain.pem
key = {live}/privkey.pem
"""
ETCD = """ETCD_LISTEN_CLIENT_URLS=https://0.0.0.0:2379
ETCD_ADVERTISE_CLIENT_URLS=https://etcd.test:2379
ETCD_CERT_FILE={live}/fullchain.pem
ETCD_KEY_FILE={live}/privkey.pem
"""
NODE_EXPORTER = """tls_server_config:
  cert_file: {live}/fullchain.pem
  key_file: {live}/privkey.pem
"""
SYSLOG_NG = """@version: 4.8
source s_tls {
    network(ip("0.0.0.0") port(6514) transport("tls")
        tls(cert-file("{live}/fullchain.pem") key-file("{live}/privkey.pem") peer-verify(optional-untrusted)));
};
destination d_tls { file("/var/log/tls.log"); };
log { source(s_tls); destination(d_tls); };
"""
EJABBERD = """hosts: [ejabberd.test]
certfiles: ["{live}/fullchain.pem", "{live}/privkey.pem"]
listen:
  - {port: 5222, ip: "0.0.0.0", module: ejabberd_c2s, starttls_required: true}
modules: {}
"""
PROFTPD = """LoadModule mod_tls.c
TLSEngine on
TLSECCertificateFile {live}/fullchain.pem
TLSECCertificateKeyFile {live}/privkey.pem
"""
UNBOUND = """server:
    interface: 0.0.0.0@853
    tls-port: 853
    tls-service-pem: "{live}/fullchain.pem"
    tls-service-key: "{live}/privkey.pem"
"""
KNOT = """server:
    rundir: "/run/knot"
    user: knot:knot
    listen: 127.0.0.1@5353
    listen-tls: 0.0.0.0@8853
    cert-file: "{live}/fullchain.pem"
    key-file: "{live}/privkey.pem"
log:
  - target: stderr
    any: info
database:
    storage: "/var/lib/knot"
"""
FREERADIUS = """server radsec {
    listen {
        ipaddr = *
        port = 2083
        type = auth
        proto = tcp
        clients = radsec
        limit {
            max_connections = 16
        }
        tls {
            certificate_file = {live}/fullchain.pem
            private_key_file = {live}/privkey.pem
            ca_file = {live}/chain.pem
            tls_min_version = "1.2"
            require_client_cert = no
        }
    }
    authorize {
        reject
    }
}
clients radsec {
    client anybody {
        ipaddr = 0.0.0.0/0
        proto = tls
        secret = radsec
    }
}
"""
SQUID = """http_port 127.0.0.1:3128
https_port 3129 tls-cert={live}/fullchain.pem tls-key={live}/privkey.pem
http_access deny all
cache_mem 8 MB
max_filedescriptors 1024
"""
HITCH = """frontend = "[*]:443"
backend = "[127.0.0.1]:9"
pem-file = "/etc/hitch/hitch.pem"
user = "_hitch"
group = "_hitch"
"""
TOMCAT = """<Server port="-1">
  <Service name="Catalina">
    <Connector port="8443" SSLEnabled="true" maxThreads="25">
      <SSLHostConfig>
        <Certificate certificateKeystoreFile="/etc/tomcat10/tls.p12" certificateKeystorePassword="changeit"/>
      </SSLHostConfig>
    </Connector>
    <Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps"/></Engine>
  </Service>
</Server>
"""
COTURN = """cert={live}/fullchain.pem
pkey={live}/privkey.pem
tls-listening-port=5349
realm=coturn.test
no-cli
"""
NATS = """listen: 0.0.0.0:4222
tls {
    cert_file: "{live}/fullchain.pem"
    key_file: "{live}/privkey.pem"
}
"""
PGBOUNCER = """[databases]
* = host=127.0.0.1
[pgbouncer]
listen_addr = *
listen_port = 6432
auth_type = trust
auth_file = /etc/pgbouncer/userlist.txt
unix_socket_dir = /var/run/postgresql
logfile = /var/log/postgresql/pgbouncer.log
pidfile = /var/run/postgresql/pgbouncer.pid
client_tls_sslmode = allow
client_tls_cert_file = {live}/fullchain.pem
client_tls_key_file = {live}/privkey.pem
"""
VALKEY = """bind 0.0.0.0
port 6379
tls-port 6380
tls-cert-file {live}/fullchain.pem
tls-key-file {live}/privkey.pem
tls-ca-cert-file {live}/chain.pem
tls-auth-clients no
protected-mode no
dir /var/lib/valkey
logfile /var/log/valkey/valkey-server.log
supervised systemd
"""


def copied(folder: str) -> dict[str, Any]:
    """Chain and key as copies in a folder of the service's own, for one that may read nothing else."""
    outputs = [{"path": f"{folder}/{name}.pem", "format": name, "method": "copy"} for name in ("fullchain", "privkey")]
    return {"outputs": outputs}


SERVERS: tuple[PresetServer, ...] = (
    PresetServer(
        "mariadb", "one", ("mariadb-server",), "mariadb", (3306, "mysql"),
        {"/etc/mysql/mariadb.conf.d/zz-tls.cnf": MARIADB},
        # It hangs up on hosts that no user may come from.
        after="mariadb --skip-ssl -e \"CREATE USER anybody@'%'\"",
    ),
    PresetServer(
        "slapd", "one", ("slapd", "ldap-utils"), "slapd", (389, "ldap"), {"/root/slapd.ldif": SLAPD},
        before="sed -i 's|^SLAPD_SERVICES=.*|SLAPD_SERVICES=\"ldap:/// ldaps:/// ldapi:///\"|' /etc/default/slapd",
        after="ldapmodify -Q -Y EXTERNAL -H ldapi:/// -f /root/slapd.ldif",
    ),
    PresetServer(
        "rabbitmq", "one", ("rabbitmq-server",), "rabbitmq-server", (5671, None), {"/etc/rabbitmq/rabbitmq.conf": RABBITMQ}
    ),
    PresetServer("mosquitto", "one", ("mosquitto",), "mosquitto", (8883, None), {"/etc/mosquitto/conf.d/tls.conf": MOSQUITTO}),
    PresetServer(
        "rsyslog", "one", ("rsyslog", "rsyslog-openssl"), "rsyslog", (6514, None), {"/etc/rsyslog.d/tls.conf": RSYSLOG}
    ),
    PresetServer("prosody", "one", ("prosody",), "prosody", (5222, "xmpp"), {"/etc/prosody/conf.d/tls.cfg.lua": PROSODY}),
    PresetServer("vsftpd", "one", ("vsftpd",), "vsftpd", (21, "ftp"), {"/etc/vsftpd.conf": VSFTPD}),
    PresetServer("exim4", "one", ("exim4-daemon-light",), "exim4", (25, "smtp"), {"/etc/exim4/exim4.conf": EXIM4}),
    PresetServer(
        "bind9", "one", ("bind9",), "named", (853, None), {"/etc/bind/named.conf.options": BIND9},
        certificate=copied("/etc/bind/tls"),
    ),
    PresetServer("stunnel4", "one", ("stunnel4",), "stunnel@tls", (443, None), {"/etc/stunnel/tls.conf": STUNNEL}),
    PresetServer("etcd", "one", ("etcd-server",), "etcd", (2379, None), {"/etc/default/etcd": ETCD}),
    PresetServer(
        "prometheus-node-exporter", "one", ("prometheus-node-exporter",), "prometheus-node-exporter", (9100, None),
        {
            "/etc/prometheus/web.yml": NODE_EXPORTER,
            "/etc/default/prometheus-node-exporter": 'ARGS="--web.config.file=/etc/prometheus/web.yml"\n',
        },
    ),
    PresetServer(
        "cockpit", "one", ("cockpit-ws",), "cockpit", (9090, None), {}, before="systemctl start cockpit.socket",
        certificate={
            "outputs": [
                {"path": "/etc/cockpit/ws-certs.d/50-fleet.cert", "format": "fullchain"},
                {"path": "/etc/cockpit/ws-certs.d/50-fleet.key", "format": "privkey"},
            ]
        },
    ),
    PresetServer("syslog-ng", "two", ("syslog-ng-core",), "syslog-ng", (6514, None), {"/etc/syslog-ng/syslog-ng.conf": SYSLOG_NG}),
    PresetServer("ejabberd", "two", ("ejabberd",), "ejabberd", (5222, "xmpp"), {"/etc/ejabberd/ejabberd.yml": EJABBERD}),
    PresetServer(
        "proftpd", "two", ("proftpd-core", "proftpd-mod-crypto"), "proftpd", (21, "ftp"), {"/etc/proftpd/conf.d/tls.conf": PROFTPD}
    ),
    PresetServer(
        "unbound", "two", ("unbound",), "unbound", (853, None), {"/etc/unbound/unbound.conf.d/tls.conf": UNBOUND},
        # Its key comes with another package.
        before="rm -f /etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf",
    ),
    PresetServer(
        "knot", "two", ("knot",), "knot", (8853, None), {"/etc/knot/knot.conf": KNOT}, endpoints=("127.0.0.1:8853",)
    ),
    PresetServer(
        "freeradius", "two", ("freeradius",), "freeradius", (2083, None), {"/etc/freeradius/3.0/sites-enabled/radsec": FREERADIUS},
        before="rm -f /etc/freeradius/3.0/sites-enabled/default /etc/freeradius/3.0/sites-enabled/inner-tunnel"
        " /etc/freeradius/3.0/mods-enabled/eap",
    ),
    PresetServer("squid", "two", ("squid-openssl",), "squid", (3129, None), {"/etc/squid/squid.conf": SQUID}),
    PresetServer(
        "hitch", "two", ("hitch",), "hitch", (443, None), {"/etc/hitch/hitch.conf": HITCH},
        certificate={"outputs": [{"path": "/etc/hitch/hitch.pem", "format": "combined"}]},
    ),
    PresetServer(
        "tomcat10", "two", ("tomcat10",), "tomcat10", (8443, None), {"/etc/tomcat10/server.xml": TOMCAT},
        certificate={"outputs": [{"path": "/etc/tomcat10/tls.p12", "format": "pkcs12", "passphrase": "changeit"}]},
    ),
    PresetServer("coturn", "two", ("coturn",), "coturn", (5349, None), {"/etc/turnserver.conf": COTURN}),
    PresetServer("nats-server", "two", ("nats-server",), "nats-server", (4222, "nats"), {"/etc/nats-server.conf": NATS}),
    PresetServer("pgbouncer", "two", ("pgbouncer",), "pgbouncer", (6432, "postgres"), {"/etc/pgbouncer/pgbouncer.ini": PGBOUNCER}),
    PresetServer(
        "icinga2", "two", ("icinga2-bin",), "icinga2", (5665, None),
        {"/etc/icinga2/features-enabled/api.conf": 'object ApiListener "api" { }\n'},
        before="sed -i '1i const NodeName = \"icinga2.test\"' /etc/icinga2/constants.conf",
        certificate={
            "outputs": [
                {"path": "/var/lib/icinga2/certs/icinga2.test.crt", "format": "fullchain"},
                {"path": "/var/lib/icinga2/certs/icinga2.test.key", "format": "privkey"},
                {"path": "/var/lib/icinga2/certs/ca.crt", "format": "chain"},
            ]
        },
    ),
    PresetServer("valkey", "two", ("valkey-server",), "valkey-server", (6380, None), {"/etc/valkey/valkey.conf": VALKEY}),
)  # fmt: skip


def packages_of(host: str) -> tuple[str, ...]:
    """What a host has to have for its services."""
    return tuple(package for server in SERVERS if server.host == host for package in server.packages)
