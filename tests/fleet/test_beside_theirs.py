# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our sites beside what other people have set up: theirs stays as it was, and what would take requests from either is refused."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet.fleet import Fleet
from fleet.servers import REDIS_UNIT
from tools.playbook import PlaybookResult, run_playbook

SERVERS = {"deb11": "haproxy", "deb12": "nginx", "deb13": "apache"}
UNITS = {"nginx": "nginx", "apache": "apache2", "haproxy": "haproxy"}
YEAR = "max-age=31536000"
APPLICATION = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Strict-Transport-Security", "max-age=5")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"ours")
http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Answer).serve_forever()
"""
# Somebody else has a port on every IPv4 address, and nginx will want it on every IPv6 address.
HOLDER = "import socket, time; s = socket.create_server(('0.0.0.0', 6443)); time.sleep(100000)"
PAIR = """openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=shop.test -keyout /etc/theirs.key -out /etc/theirs.crt 2>/dev/null
cat /etc/theirs.crt /etc/theirs.key > /etc/theirs.pem"""
NGINX_THEIRS = """server {
    listen 443 ssl;
    listen [::]:6443 ssl;
    server_name shop.test;
    ssl_certificate /etc/theirs.crt;
    ssl_certificate_key /etc/theirs.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    return 200 "theirs";
}
"""
APACHE_THEIRS = """<VirtualHost *:443>
    ServerName shop.test
    SSLEngine on
    SSLCertificateFile /etc/theirs.crt
    SSLCertificateKeyFile /etc/theirs.key
</VirtualHost>
Header set Strict-Transport-Security "max-age=7"
"""
HAPROXY_THEIRS = """
frontend theirs
    bind *:8443 ssl crt /etc/theirs.pem
    bind 127.0.0.9:80
    mode http
    http-request return status 200 content-type text/plain string theirs
"""
# A clash, added by hand after our site: ours is served, or takes turns with theirs.
CLASHES = {
    "nginx": (
        "/etc/nginx/sites-enabled/zzz-theirs",
        NGINX_THEIRS.replace("shop.test", "www.test").replace("listen [::]:6443 ssl;", ""),
    ),
    "apache": ("/etc/apache2/sites-enabled/zzz-theirs.conf", APACHE_THEIRS.replace("shop.test", "www.test")),
    "haproxy": (
        "/etc/haproxy/haproxy.cfg",
        HAPROXY_THEIRS.replace("8443", "443")
        .replace("    bind 127.0.0.9:80\n", "")
        .replace("theirs\n    bind", "clash\n    bind"),
    ),
}
FILES = (
    "find /etc/nginx /etc/apache2 /etc/haproxy /etc/fleet-tls/services -type f -exec sha256sum {} + 2>/dev/null | sort"
)


@dataclass
class World:
    """Three hosts, each with another server that somebody has set up, and a site of ours on each."""

    fleet: Fleet
    folder: Path

    def variables(self) -> dict[str, Any]:
        """Of all hosts."""
        return {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_trust_system": False,
            "tls_profile": "modern",
            "tls_prove_timeout": "30s",
            "tls_certificates": [
                {
                    "name": "www",
                    "issuer": "internal",
                    "dns_names": ["www.test", "more.test", "*.example.test"],
                    "services": ["{{ tls_web_server }}"],
                }
            ],
            "tls_sites": [site("www", "www.test")],
        }

    def run(self, playbook: str, *args: str, hosts: tuple[str, ...] = tuple(SERVERS), **changes: Any) -> PlaybookResult:
        """A playbook of the collection on some of the hosts, with some variables changed."""
        known = self.fleet.host_vars()
        inventory = self.folder / "inventory.json"
        entries = {name: {**known[name], "tls_web_server": SERVERS[name]} for name in hosts if name in known}
        inventory.write_text(json.dumps({"all": {"hosts": entries, "vars": {**self.variables(), **changes}}}))
        return run_playbook(f"fleet.tls.{playbook}", inventory, args=args, timeout=600)

    def shell(self, host: str, script: str, **how: Any) -> str:
        """A script on a host."""
        return self.fleet.exec(host, ["sh", "-c", script], **how).stdout

    def files(self) -> dict[str, str]:
        """What could have been touched."""
        return {host: self.shell(host, FILES, check=False) for host in SERVERS}

    def leaf(
        self,
        host: str,
        name: str | None = "www.test",
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        port: int = 443,
    ) -> str:
        """The fingerprint of what is served; empty where the handshake fails."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.fleet.addresses[host], port), timeout=20) as plain,
        ):
            with context.wrap_socket(plain, server_hostname=name) as tls:
                return hashlib.sha256(tls.getpeercert(True) or b"").hexdigest()
        return ""

    def theirs(self, host: str) -> str:
        """The fingerprint of their certificate."""
        return self.shell(host, "openssl x509 -in /etc/theirs.crt -outform DER | sha256sum").split()[0]

    def ours(self, host: str) -> str:
        """The fingerprint of our live leaf."""
        return self.shell(host, "openssl x509 -in /etc/fleet-tls/live/www/cert.pem -outform DER | sha256sum").split()[0]

    def comes_to_serve(self, host: str, fingerprint: str) -> bool:
        """Whether www.test shows this certificate soon."""
        end = time.monotonic() + 60
        while self.leaf(host) != fingerprint:
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True


def site(name: str, server_name: str, **options: Any) -> dict[str, Any]:
    """One of ``tls_sites``."""
    upstream = "http://127.0.0.1:8081"
    return {
        "name": name,
        "server_names": [server_name],
        "certificate": "www",
        "upstream": upstream,
        "hsts": "365d",
        "redirect": True,
        **options,
    }


def words(result: PlaybookResult, host: str) -> str:
    """What the tasks of a host that failed have said."""
    return "\n".join(
        str(each["result"].get("msg"))
        for each in result.task_results
        if each["host"] == host and each["status"] == "failed"
    )


@pytest.fixture(scope="module")
def world(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one = World(fleet, tmp_path_factory.mktemp("beside"))
    kept = "/etc/nginx /etc/apache2 /etc/haproxy"
    for host, server in SERVERS.items():
        one.shell(host, f"tar -C / -cf /root/theirs.tar {kept} 2>/dev/null; {PAIR}")
        one.fleet.exec(host, ["tee", "/root/application.py"], stdin=APPLICATION)
        one.shell(host, "systemd-run --quiet --unit=application python3 /root/application.py")
        if server == "nginx":
            one.shell(host, f'systemd-run --quiet --unit=holder python3 -c "{HOLDER}"')
            one.fleet.exec(host, ["tee", "/etc/nginx/sites-enabled/shop"], stdin=NGINX_THEIRS)
        elif server == "apache":
            one.shell(host, "a2enmod -q ssl headers; a2dissite -q 000-default")
            one.fleet.exec(host, ["tee", "/etc/apache2/sites-enabled/shop.conf"], stdin=APACHE_THEIRS)
        else:
            one.fleet.exec(host, ["tee", "-a", "/etc/haproxy/haproxy.cfg"], stdin=HAPROXY_THEIRS)
        one.shell(host, f"systemctl restart {UNITS[server]}")
    try:
        one.run("deploy").check()
        yield one
    finally:
        for host, server in SERVERS.items():
            one.shell(
                host,
                f"systemctl stop {UNITS[server]} application holder 2>/dev/null; systemctl disable --quiet {UNITS[server]};"
                f" rm -rf {kept} /etc/fleet-tls /etc/theirs.* /etc/systemd/system/*.service.d/words.conf;"
                " tar -C / -xf /root/theirs.tar; systemctl daemon-reload; rm -f /root/theirs.tar /root/application.py",
                check=False,
            )


def test_theirs_stays_as_it_was(world: World) -> None:
    assert world.run("deploy").check().changed == 0
    for host in SERVERS:
        assert world.leaf(host) == world.ours(host)
    # nginx: without a name, or with one that nobody has, theirs answers, and their clients of TLS 1.2 get in.
    for name in (None, "nobody.test", "shop.test"):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert world.leaf("deb12", name, version) == world.theirs("deb12")
    assert "<html" in world.shell(
        "deb12", "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1/').read())\""
    )
    assert world.leaf("deb13", "shop.test") == world.theirs("deb13")
    assert world.leaf("deb11", "shop.test", port=8443) == world.theirs("deb11")


@pytest.mark.parametrize("host", SERVERS)
def test_hsts_goes_out_once(world: World, host: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((world.fleet.addresses[host], 443), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="www.test") as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n")
        response = http.client.HTTPResponse(tls)
        response.begin()
        assert response.read() == b"ours"
    assert response.headers.get_all("Strict-Transport-Security") == [YEAR]


def test_a_regular_expression_among_the_names(world: World) -> None:
    """No plain name beside it: it is proven with one that it matches."""
    pattern = site("shop", r"~^shop\d{1,3}\.example\.test$", redirect=False)
    result = world.run("deploy", hosts=("deb12",), tls_sites=[site("www", "www.test"), pattern]).check()
    assert result.changed
    assert world.leaf("deb12", "shop12.example.test") == world.ours("deb12")
    assert world.leaf("deb12", "shopx.example.test") == world.theirs("deb12")


def test_a_new_site_that_clashes_is_refused_and_nothing_is_touched(world: World) -> None:
    """Also with --check: what it says is what a run would do."""
    before = world.files()
    # HAProxy: the redirect of plain HTTP clashes as the site itself does.
    plain = site("more", "more.test", listen=["127.0.0.9:443"])
    same = dict.fromkeys(("deb12", "deb13"), site("more", "shop.test"))
    where = {
        "deb12": "/etc/nginx/sites-enabled/shop:1",
        "deb13": "/etc/apache2/sites-enabled/shop.conf:1",
        "deb11": "/etc/haproxy/haproxy.cfg:",
    }
    for args, on_haproxy in (
        (("--check",), plain),
        ((), site("more", "more.test", listen=[8443], redirect=False)),
    ):
        sites = {host: [site("www", "www.test"), more] for host, more in {**same, "deb11": on_haproxy}.items()}
        result = world.run("deploy", *args, tls_sites="{{ sites[inventory_hostname] }}", sites=sites)
        assert result.rc != 0
        for host in SERVERS:
            said = words(result, host)
            assert "'more'" in said and "Nothing was changed" in said and where[host] in said, (host, said)
        assert ("redirect: false" in words(result, "deb11")) is (on_haproxy is plain)
    assert world.files() == before


def test_tickets_that_haproxy_would_not_give_out_are_refused(world: World) -> None:
    """Debian's own haproxy.cfg has no-tls-tickets. A renewal goes on."""

    def state() -> list[str]:
        files = world.shell("deb11", FILES).splitlines()
        return [
            world.shell("deb11", "ls -A /etc/fleet-tls"),
            *(each for each in files if not each.endswith("/www.pem")),
        ]

    before, leaf = state(), world.ours("deb11")
    line = world.shell("deb11", "grep -n no-tls-tickets /etc/haproxy/haproxy.cfg").partition(":")[0]
    for args in (("--check",), ("-e", '{"tls_force": true}')):
        result = world.run("deploy", *args, hosts=("deb11",), tls_session_tickets=True)
        said = words(result, "deb11")
        assert result.rc != 0 and "no-tls-tickets" in said and f"/etc/haproxy/haproxy.cfg:{line}" in said, said
        assert state() == before
    assert world.ours("deb11") != leaf and world.leaf("deb11") == world.ours("deb11")


def test_a_clash_added_by_hand_stops_no_renewal(world: World) -> None:
    before = {host: world.ours(host) for host in SERVERS}
    for host, server in SERVERS.items():
        path, text = CLASHES[server]
        world.shell(
            host, f"cp {path} /root/kept 2>/dev/null; cat >> {path}; systemctl reload {UNITS[server]}", stdin=text
        )
    try:
        result = world.run("deploy", "-e", '{"tls_force": true}')
        for host, server in SERVERS.items():
            said = words(result, host)
            assert CLASHES[server][0] in said and "'www'" in said, said
            assert world.ours(host) != before[host]
            assert world.comes_to_serve(host, world.ours(host))
        checked = world.run("check")
        assert checked.rc != 0
        for host, server in SERVERS.items():
            assert "site_clash" in words(checked, host) and CLASHES[server][0] in words(checked, host)
    finally:
        for host, server in SERVERS.items():
            path = CLASHES[server][0]
            world.shell(
                host,
                f"if test -e /root/kept; then mv /root/kept {path}; else rm {path}; fi; systemctl reload {UNITS[server]}",
            )
    assert "site_clash" not in world.run("check").stdout


def test_a_server_that_does_not_start_says_why_in_its_own_words(world: World) -> None:
    """systemd alone says where to look for them."""
    unit = "/etc/systemd/system/nginx.service.d"
    override = "[Service]\nExecStartPre=/bin/sh -c 'echo the license has run out; exit 1'\n"
    world.shell(
        "deb12",
        f"mkdir -p {unit}; cat > {unit}/words.conf; systemctl daemon-reload; systemctl stop nginx",
        stdin=override,
    )
    try:
        result = world.run("deploy", hosts=("deb12",))
        assert result.rc != 0 and "the license has run out" in words(result, "deb12")
    finally:
        world.shell("deb12", f"rm -r {unit}; systemctl daemon-reload; systemctl reset-failed nginx", check=False)


def test_clusters_and_passwords_of_other_people(world: World) -> None:
    """PostgreSQL: one cluster among several is stopped, one belongs to somebody else. Redis: a password that a shell would cut."""
    host = "deb13"
    script = """
    set -e
    useradd --system other 2>/dev/null || true
    version=$(ls /usr/lib/postgresql)
    pg_lsclusters -h | grep -q ' main ' || pg_createcluster $version main
    pg_createcluster $version stopped
    mkdir -p /srv/other && chown other /srv/other
    runuser -u other -- /usr/lib/postgresql/$version/bin/initdb -D /srv/other >/dev/null
    chmod 0700 /srv/other
    runuser -u other -- /usr/lib/postgresql/$version/bin/pg_ctl -D /srv/other -o '-p 6432 -k /srv/other' -l /srv/other/log -w start >/dev/null
    for cluster in main stopped; do
      printf "ssl = on\\nssl_cert_file = '/etc/fleet-tls/live/db/fullchain.pem'\\nssl_key_file = '/etc/fleet-tls/live/db/privkey.pem'\\n" \
        > /etc/postgresql/$version/$cluster/conf.d/tls.conf
    done
    cp /etc/redis/redis.conf /root/redis.conf
    printf 'requirepass pa#ss\\nport 0\\ntls-port 6379\\ntls-auth-clients no\\ntls-cert-file /etc/redis/db.crt\\ntls-key-file /etc/redis/db.key\\n' \
      >> /etc/redis/redis.conf
    cp /etc/theirs.crt /etc/redis/db.crt && cp /etc/theirs.key /etc/redis/db.key && chown redis /etc/redis/db.*
    mkdir -p /etc/systemd/system/redis-server.service.d
    cat > /etc/systemd/system/redis-server.service.d/container.conf
    systemctl daemon-reload
    """
    undo = """
    version=$(ls /usr/lib/postgresql)
    systemctl stop redis-server postgresql@$version-main postgresql@$version-stopped
    runuser -u other -- /usr/lib/postgresql/$version/bin/pg_ctl -D /srv/other -m immediate stop
    pg_dropcluster $version stopped; rm -rf /srv/other /etc/postgresql/$version/main/conf.d/tls.conf /etc/redis/db.*
    rm -rf /etc/systemd/system/redis-server.service.d; systemctl daemon-reload
    mv /root/redis.conf /etc/redis/redis.conf; userdel other; rm -rf /etc/fleet-tls/live/db /etc/fleet-tls/generations/db
    """
    outputs = [
        {"path": f"/etc/redis/db.{ending}", "format": kind, "owner": "redis"}
        for ending, kind in (("crt", "fullchain"), ("key", "privkey"))
    ]
    for_postgres = {"name": "db", "issuer": "internal", "dns_names": ["db.test"], "services": ["postgresql"]}
    for_redis = {
        "name": "cache",
        "issuer": "internal",
        "dns_names": ["cache.test"],
        "services": ["redis"],
        "outputs": outputs,
    }
    wanted = {
        "tls_certificates": [for_postgres, for_redis],
        "tls_sites": [],
        "tls_web_server": "nginx",
        "tls_nginx": False,
    }
    try:
        world.shell(host, script, timeout=180, stdin=REDIS_UNIT)
        # The first pair is there before the servers are told of it.
        world.shell(host, "rm -f /etc/redis/db.crt /etc/redis/db.key")
        world.run("deploy", hosts=(host,), **wanted, tls_trust_issuers=[]).check()
        world.shell(
            host,
            "version=$(ls /usr/lib/postgresql); systemctl restart postgresql@$version-main postgresql@$version-stopped redis-server",
            timeout=120,
        )
        world.shell(host, "systemctl stop postgresql@$(ls /usr/lib/postgresql)-stopped", timeout=120)
        result = world.run("deploy", "-e", '{"tls_force": true}', hosts=(host,), **wanted).check()
        assert result.changed
        for name, port in (("db", 5432), ("cache", 6379)):
            starttls = "-starttls postgres" if name == "db" else ""
            served = world.shell(
                host,
                f"openssl s_client -connect 127.0.0.1:{port} {starttls} </dev/null 2>/dev/null | openssl x509 -outform DER | sha256sum",
            )
            live = world.shell(host, f"openssl x509 -in /etc/fleet-tls/live/{name}/cert.pem -outform DER | sha256sum")
            assert served == live
    finally:
        world.shell(host, undo, check=False, timeout=180)
