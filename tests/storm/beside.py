# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user has on the nodes: a site with a certificate of the user's own on each, on HAProxy sockets as well, and a listener behind the
PROXY protocol that serves a certificate of ours."""

from __future__ import annotations

SITE = ("theirs.test", 6443)
PROXIED = ("www.test", 7443)
EDGE_PAIR = "/etc/haproxy/edge.pem"
# On HAProxy: a frontend of theirs, and where its administrator asks it how it is.
APP_SOCKET, STATS_SOCKET = "/var/lib/haproxy/theirs.sock", "/var/lib/haproxy/stats"
_LIVE = "/etc/fleet-tls/live/www-ecdsa"
_PAIR = f"""
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN={SITE[0]} -addext subjectAltName=DNS:{SITE[0]} \
  -keyout /etc/theirs.key -out /etc/theirs.crt 2>/dev/null
cat /etc/theirs.crt /etc/theirs.key > /etc/theirs.pem
"""
_NGINX = f"""server {{
    listen {SITE[1]} ssl;
    server_name {SITE[0]};
    ssl_certificate /etc/theirs.crt;
    ssl_certificate_key /etc/theirs.key;
    return 200 "theirs";
}}
"""
_NGINX_EDGE = f"""server {{
    listen {PROXIED[1]} ssl proxy_protocol;
    server_name {PROXIED[0]};
    ssl_certificate {_LIVE}/fullchain.pem;
    ssl_certificate_key {_LIVE}/privkey.pem;
    return 200 "edge";
}}
"""
_APACHE = f"""Listen {SITE[1]}
<VirtualHost *:{SITE[1]}>
    ServerName {SITE[0]}
    DocumentRoot /var/www/html
    SSLEngine on
    SSLCertificateFile /etc/theirs.crt
    SSLCertificateKeyFile /etc/theirs.key
</VirtualHost>
"""
_APACHE_EDGE = f"""Listen {PROXIED[1]}
<VirtualHost *:{PROXIED[1]}>
    ServerName {PROXIED[0]}
    DocumentRoot /var/www/html
    RemoteIPProxyProtocol On
    SSLEngine on
    SSLCertificateFile {_LIVE}/fullchain.pem
    SSLCertificateKeyFile {_LIVE}/privkey.pem
</VirtualHost>
"""
_HAPROXY = f"""
global
    stats socket {STATS_SOCKET} mode 660 level admin
frontend theirs
    bind :{SITE[1]} ssl crt /etc/theirs.pem
    bind unix@{APP_SOCKET}
    mode http
    http-request return status 200 content-type text/plain string theirs
"""
_HAPROXY_EDGE = f"""
frontend edge
    bind :{PROXIED[1]} accept-proxy ssl crt {EDGE_PAIR}
    mode http
    http-request return status 200 content-type text/plain string edge
"""
_FILES = {
    "nginx": ("/etc/nginx/sites-enabled/theirs", "/etc/nginx/sites-enabled/edge"),
    "apache": ("/etc/apache2/sites-enabled/theirs.conf", "/etc/apache2/sites-enabled/edge.conf"),
    "haproxy": ("/etc/haproxy/haproxy.cfg", "/etc/haproxy/haproxy.cfg"),
}
_TEXTS = {"nginx": (_NGINX, _NGINX_EDGE), "apache": (_APACHE, _APACHE_EDGE), "haproxy": (_HAPROXY, _HAPROXY_EDGE)}
_UNITS = {"nginx": "nginx", "apache": "apache2", "haproxy": "haproxy"}


def _append(path: str, text: str) -> str:
    return f"cat >>{path} <<'END OF FILE'\n{text}END OF FILE\n"


def site(kind: str) -> str:
    """A script that sets up theirs, before anything of ours is deployed."""
    modules = "a2enmod --quiet ssl remoteip\n" if kind == "apache" else ""
    return f"{_PAIR}{modules}{_append(_FILES[kind][0], _TEXTS[kind][0])}systemctl restart {_UNITS[kind]}\n"


def edge(kind: str) -> str:
    """A script that adds the listener behind the PROXY protocol, whose pair is there."""
    return f"{_append(_FILES[kind][1], _TEXTS[kind][1])}systemctl reload {_UNITS[kind]}\n"


def lost(kind: str) -> str:
    """A script that does wrong to theirs: the site is gone, or (HAProxy) its sockets."""
    if kind == "haproxy":
        return f"rm {APP_SOCKET} {STATS_SOCKET}\n"
    return f"rm {_FILES[kind][0]}\nsystemctl reload {_UNITS[kind]}\n"


def digest(kind: str) -> str:
    """A script that says of the files of theirs what they are."""
    return f"sha256sum /etc/theirs.* {' '.join(sorted(set(_FILES[kind])))} 2>&1 || true\n"
