# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where certificates lie that others made, who renews them, and where services say which they use."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Besides the places of health/certificate_files.py, which have certbot's. Each as its program's own documentation, or Debian's package, has it.
LINEAGES = (
    "/etc/lego/certificates", "/var/lib/lego/certificates", "/root/.lego/certificates", "/var/lib/dehydrated/certs", "/etc/dehydrated/certs",
    "/root/.acme.sh", "/etc/acme.sh", "/etc/pki/ansible",
)  # fmt: skip
# Whose a file is, by its path and that of what it leads to, and what its program is called.
RENEWERS = (
    ("certbot", re.compile(r".*/archive/[^/]+/[a-z]+[0-9]+\.pem")),
    ("dehydrated", re.compile(r".*/dehydrated/.*|.*/(?:cert|fullchain|privkey)-[0-9]{10}\.pem")),
    ("acme.sh", re.compile(r".*/\.?acme\.sh/.*")),
    ("lego", re.compile(r".*/\.?lego/.*")),
)
# By the names of the presets, on Debian and on the RHEL family. What is not there is passed over.
CONFIGURATIONS: Mapping[str, tuple[str, ...]] = {
    "apache": ("/etc/apache2/**", "/etc/httpd/**"),
    "bind9": ("/etc/bind/**", "/etc/named.conf", "/etc/named/**"),
    "caddy": ("/etc/caddy/**",),
    "cockpit": ("/etc/cockpit/**",),
    "coturn": ("/etc/turnserver.conf", "/etc/coturn/**"),
    "dovecot": ("/etc/dovecot/**",),
    "ejabberd": ("/etc/ejabberd/**", "/opt/ejabberd/conf/**"),
    "etcd": ("/etc/default/etcd", "/etc/etcd/**"),
    "exim4": ("/etc/exim4/**", "/etc/exim/**"),
    "freeradius": ("/etc/freeradius/**", "/etc/raddb/**"),
    "haproxy": ("/etc/haproxy/**",),
    "hitch": ("/etc/hitch/**",),
    "icinga2": ("/etc/icinga2/**",),
    "knot": ("/etc/knot/**",),
    "lighttpd": ("/etc/lighttpd/**",),
    "mariadb": ("/etc/mysql/**", "/etc/my.cnf", "/etc/my.cnf.d/**"),
    "mosquitto": ("/etc/mosquitto/**",),
    "nats-server": ("/etc/nats-server.conf", "/etc/nats/**"),
    "nginx": ("/etc/nginx/**",),
    "pgbouncer": ("/etc/pgbouncer/**",),
    "postfix": ("/etc/postfix/*.cf",),
    "postgresql": ("/etc/postgresql/**", "/var/lib/pgsql/data/*.conf", "/var/lib/postgresql/*/*/*.conf"),
    "proftpd": ("/etc/proftpd/**", "/etc/proftpd.conf"),
    "prometheus-node-exporter": ("/etc/default/prometheus-node-exporter", "/etc/prometheus/**"),
    "prosody": ("/etc/prosody/**",),
    "rabbitmq": ("/etc/rabbitmq/**",),
    "redis": ("/etc/redis/**", "/etc/redis.conf"),
    "rsyslog": ("/etc/rsyslog.conf", "/etc/rsyslog.d/**"),
    "slapd": ("/etc/ldap/slapd.d/**", "/etc/ldap/slapd.conf", "/etc/openldap/slapd.d/**"),
    "squid": ("/etc/squid/**",),
    "stunnel4": ("/etc/stunnel/**",),
    "syslog-ng": ("/etc/syslog-ng/**",),
    "tomcat10": ("/etc/tomcat10/**",),
    "unbound": ("/etc/unbound/**",),
    "valkey": ("/etc/valkey/**",),
    "vsftpd": ("/etc/vsftpd.conf", "/etc/vsftpd/**"),
}


def renewer_of(*paths: str) -> str | None:
    """Which program renews what lies at these paths, all of them one certificate's; None: none that is known."""
    return next((name for name, pattern in RENEWERS if any(pattern.fullmatch(path) for path in paths)), None)
