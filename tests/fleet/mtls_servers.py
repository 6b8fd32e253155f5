# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx, Apache and HAProxy on one host, with configurations of the tests' own that require client certificates and check revocation."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.fleet import Fleet

FOLDER = "/etc/mtls"
PORTS = {"nginx": 8441, "apache": 8442, "haproxy": 8443}

NGINX = """
user www-data;
pid /run/mtls-nginx.pid;
error_log /var/log/mtls-nginx.log;
events {}
http {
  access_log off;
  server {
    listen 8441 ssl;
    ssl_certificate /etc/fleet-tls/live/www/fullchain.pem;
    ssl_certificate_key /etc/fleet-tls/live/www/privkey.pem;
    ssl_client_certificate /etc/mtls/ca.pem;
    ssl_crl /etc/mtls/crl.pem;
    ssl_verify_client on;
    ssl_verify_depth 2;
    location / { return 200 "nginx takes it"; }
  }
}
"""
APACHE = """
ServerRoot /etc/apache2
ServerName mtls.test
PidFile /run/mtls-apache.pid
ErrorLog /var/log/mtls-apache.log
Listen 8442
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
User www-data
Group www-data
SSLSessionCache none
SSLEngine on
SSLCertificateFile /etc/fleet-tls/live/www/fullchain.pem
SSLCertificateKeyFile /etc/fleet-tls/live/www/privkey.pem
SSLCACertificateFile /etc/mtls/ca.pem
SSLCARevocationFile /etc/mtls/crl.pem
SSLCARevocationCheck chain
SSLVerifyClient require
SSLVerifyDepth 2
Redirect 204 /
"""
HAPROXY = """
global
  maxconn 100
  stats socket /run/mtls-haproxy.sock
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend mtls
  bind :8443 ssl crt /etc/mtls/haproxy.pem ca-file /etc/mtls/ca.pem crl-file /etc/mtls/crl.pem verify required
  http-request return status 200 content-type text/plain string "haproxy takes it"
"""
FILES = {"nginx.conf": NGINX, "apache.conf": APACHE, "haproxy.cfg": HAPROXY}
START = {
    "nginx": ["nginx", "-c", f"{FOLDER}/nginx.conf"],
    "apache": ["apache2", "-f", f"{FOLDER}/apache.conf", "-k", "start"],
    "haproxy": ["haproxy", "-D", "-f", f"{FOLDER}/haproxy.cfg", "-p", "/run/mtls-haproxy.pid"],
}


@dataclass(frozen=True)
class MtlsServers:
    """The three on one host; ``/etc/fleet-tls/live/www`` and ``haproxy.pem`` below FOLDER have to be there before they start."""

    fleet: Fleet
    host: str

    def write(self, name: str, content: str) -> None:
        """A file below FOLDER."""
        self.fleet.exec(self.host, ["sh", "-c", f"mkdir -p {FOLDER}; cat > {FOLDER}/{name}"], stdin=content)

    def verify_clients_with(self, bundle: str, crls: str) -> None:
        """Start them anew with these CAs and CRLs: a new process has no session of a client it would not take any more."""
        self.stop()
        for name, content in {**FILES, "ca.pem": bundle, "crl.pem": crls}.items():
            self.write(name, content)
        for command in START.values():
            self.fleet.exec(self.host, command)

    def stop(self) -> None:
        """All of them, until they are gone and their ports are free."""
        script = """
        for name in nginx apache haproxy; do
          pid=$(cat /run/mtls-$name.pid 2>/dev/null) || continue
          kill $pid 2>/dev/null
          for i in $(seq 300); do kill -0 $pid 2>/dev/null || break; sleep 0.1; done
          rm -f /run/mtls-$name.pid
        done
        """
        self.fleet.exec(self.host, ["sh", "-c", script])

    def clean(self) -> None:
        """As if they had never been."""
        self.stop()
        self.fleet.exec(self.host, ["sh", "-c", f"rm -rf {FOLDER} /var/log/mtls-* /run/mtls-*"])

    def endpoints(self, server_name: str) -> list[dict[str, object]]:
        """What a client has to be accepted by: nginx refuses in HTTP only, the others in TLS."""
        address = self.fleet.addresses[self.host]
        requests = {"nginx": "/", "apache": None, "haproxy": "/"}
        return [
            {"host": address, "port": port, "server_name": server_name, **({"request": path} if path else {})}
            for port, path in ((PORTS[name], requests[name]) for name in PORTS)
        ]
