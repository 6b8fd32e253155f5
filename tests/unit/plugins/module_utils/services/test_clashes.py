# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations of other people's, and sites of ours beside them. The servers themselves are met in tests/fleet/test_beside_theirs.py."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.services import (
    apache_config,
    haproxy_config,
    nginx_config,
    nginx_files,
)
from ansible_collections.fleet.tls.plugins.module_utils.services.clashes import refuse_clashes
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service

NGINX = Service("nginx", validate=("nginx", "-t", "-q"))
APACHE_SERVICE = Service("apache", validate=("apachectl", "-t"))


def place(
    host: str = "", port: int = 443, names: tuple[str, ...] = ("www.test",), *, plain: bool = False
) -> dict[str, Any]:
    return {"site": "www", "host": host, "port": port, "names": list(names), "plain": plain}


def refusal(
    service: Service, server: str, *places: dict[str, Any], tickets: bool = False, file: str | None = None
) -> str | None:
    """What is said about a clash; None: there is none."""
    try:
        refuse_clashes(service, {"server": server, "file": file, "tickets": tickets, "places": list(places)})
    except StepError as error:
        assert error.code == "site_clash" and "Nothing was changed" in error.remedy
        return f"{error.message}; {error.remedy}"
    return None


def haproxy(tmp_path: Path, text: str) -> Service:
    path = tmp_path / "haproxy.cfg"
    path.write_text(text)
    return Service("haproxy", validate=("haproxy", "-c", "-f", str(path)))


@pytest.mark.parametrize(
    ("bind", "host", "clash"),
    [
        ("*:443 ssl crt /x", "", True),
        (":443", "", True),
        ("0.0.0.0:443", "", True),
        (":80,:443", "", True),
        (":400-500", "", True),
        (":::443", "", True),
        ("[::]:443 v4v6", "", True),
        (":::443 v6only", "", False),
        (":::443 v6only", "::", True),
        ("ipv4@:443", "", True),
        ("ipv6@:443", "::", True),
        ("quic4@:443", "", False),
        ("192.0.2.1:443", "", False),
        ("192.0.2.1:443", "192.0.2.1", True),
        ("*:8443", "", False),
        ("/run/x.sock", "", False),
        ("unix@/run/x:443", "", False),
        ("fd@${FD}", "", False),
        ('"*:443" # mine', "", True),
        ("$ADDRESS:443", "192.0.2.9", False),
    ],
)
def test_haproxy_binds(tmp_path: Path, bind: str, host: str, clash: bool) -> None:
    service = haproxy(tmp_path, f"global\n\tdaemon\n\nfrontend theirs\n\tmode http\n\tbind {bind}\n")
    said = refusal(service, "haproxy", place(host))
    assert (said is not None) is clash
    if said:
        assert f"'frontend theirs' ({tmp_path}/haproxy.cfg:6)" in said and "listen" in said and "'www'" in said


def test_haproxy_leaves_our_block_and_conditions_alone(tmp_path: Path) -> None:
    ours = "# BEGIN fleet.tls: managed by Ansible, changes made in this block are overwritten\nfrontend a\n bind :443\n# END fleet.tls\n"
    assert refusal(haproxy(tmp_path, ours), "haproxy", place()) is None
    assert refusal(haproxy(tmp_path, "frontend a\n.if defined(X)\n bind :443\n.endif\n"), "haproxy", place()) is None
    assert "redirect: false" in (
        refusal(haproxy(tmp_path, f"{ours}listen b\n bind :80\n"), "haproxy", place(port=80, plain=True)) or ""
    )


def test_haproxy_reads_directories_and_leaves_our_file_alone(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "zz-fleet-tls.cfg").write_text("frontend a\n bind :443\n")
    service = Service("haproxy", validate=("haproxy", "-c", "-f", "/nowhere", "-f", str(tmp_path / "conf.d")))
    assert refusal(service, "haproxy", place()) is None
    (tmp_path / "conf.d" / "b.cfg").write_text("frontend a\n bind :443\n")
    assert f"{tmp_path}/conf.d/b.cfg:2" in (refusal(service, "haproxy", place()) or "")


def test_haproxy_gives_out_no_tickets(tmp_path: Path) -> None:
    options = "global\n\tssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n"
    said = refusal(haproxy(tmp_path, options), "haproxy", place(), tickets=True) or ""
    assert "no-tls-tickets" in said and f"{tmp_path}/haproxy.cfg:2" in said
    assert refusal(haproxy(tmp_path, options), "haproxy", place()) is None
    assert refusal(haproxy(tmp_path, f"# {options}"), "haproxy", place(), tickets=True) is None


APACHE = """VirtualHost configuration:
*:80                   is a NameVirtualHost
         default server web1.example.com (/etc/apache2/sites-enabled/000-default.conf:1)
         port 80 namevhost web1.example.com (/etc/apache2/sites-enabled/000-default.conf:1)
         port 80 namevhost blog.test (/etc/apache2/sites-enabled/blog.conf:1)
                 alias www.test
                 wild alias *.blog.test
*:443                  www.test (/etc/apache2/sites-enabled/theirs.conf:5)
192.0.2.1:443          ip.test (/etc/apache2/sites-enabled/ip.conf:2)
*:8443                 is a NameVirtualHost
         default server own.test (/etc/apache2/sites-enabled/zz-fleet-tls.conf:5)
         port 8443 namevhost own.test (/etc/apache2/sites-enabled/zz-fleet-tls.conf:5)
ServerRoot: "/etc/apache2"
Main DocumentRoot: "/var/www/html"
"""


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        (place(), "theirs.conf:5"),
        (place(names=("other.test", "WWW.test")), "theirs.conf:5"),
        (place(names=("other.test",)), None),
        (place(port=80, plain=True), "blog.conf:1"),
        (place(port=80, names=("a.blog.test",)), "blog.conf:1"),
        (place(port=80, names=("web1.example.com",)), "000-default.conf:1"),
        (place(names=("ip.test",)), "ip.conf:2"),
        (place("192.0.2.1", names=("ip.test",)), "ip.conf:2"),
        (place("192.0.2.1"), None),
        (place(port=8443, names=("own.test",)), None),
        (place(port=80, names=("_",)), None),
    ],
)
def test_apache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], where: str | None) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "apachectl").write_text(f"#!/bin/sh\ncat <<'END'\n{APACHE}END\n")
    (tmp_path / "apachectl").chmod(0o755)
    said = refusal(APACHE_SERVICE, "apache", wanted)
    assert where in (said or "") if where else said is None, said


def test_apache_lists_hosts_in_its_order() -> None:
    hosts = apache_config.parse_virtual_hosts(APACHE)
    assert [(each.host, each.port, each.names) for each in hosts] == [
        ("", 80, ["web1.example.com"]), ("", 80, ["blog.test", "www.test", "*.blog.test"]), ("", 443, ["www.test"]),
        ("192.0.2.1", 443, ["ip.test"]), ("", 8443, ["own.test"]),
    ]  # fmt: skip


MAIN = """load_module modules/x.so;
events { worker_connections 1; }
http {
    # include never/*.conf;
    log_format main '$remote_addr "$request" {';
    map $a $b { default "x;y"; ~^z 1; }
    include conf.d/*.conf;
    include sites-enabled/*;
}
"""
SHOP = """server {
    listen 443 ssl; listen [::]:443 ssl;
    server_name shop.test "~^shop\\\\d{1,3}\\\\.test$";
    location / { content_by_lua_block { local x = { "y" } } return 200; }
}
server { listen 192.0.2.1:444 ssl; server_name shop.test; }
"""
# As the RHEL family's nginx.conf has it, behind the includes.
WELCOME = """server {
    listen 80; listen [::]:80;
    server_name _;
    root /usr/share/nginx/html;
    include default.d/*.conf;
    error_page 404 /404.html;
    location = /404.html {
    }
}
"""
OURS, CONF_D = "sites-enabled/zz-fleet-tls.conf", "conf.d/zz-fleet-tls.conf"


def nginx(tmp_path: Path, **files: str) -> Service:
    """An nginx with these files; ``sites_enabled__shop`` is sites-enabled/shop."""
    for name in ("conf.d", "sites-enabled", "never"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        (tmp_path / name).mkdir()
    (tmp_path / "never" / "a.conf").write_text("server { listen 443; server_name www.test; }")
    (tmp_path / "nginx.conf").write_text(MAIN)
    for name, text in files.items():
        (
            tmp_path / name.replace("conf_d", "conf.d").replace("sites_enabled", "sites-enabled").replace("__", "/")
        ).write_text(text)
    return Service("nginx", validate=("nginx", "-t", "-q", "-c", str(tmp_path / "nginx.conf")))


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        (place(), None),
        (place(names=("shop.test",)), "sites-enabled/shop:1"),
        (place("::", names=("Shop.test",)), "sites-enabled/shop:1"),
        (place(names=(r"~^shop\d{1,3}\.test$",)), "sites-enabled/shop:1"),
        (place(port=8443, names=("shop.test",)), None),
        (place("192.0.2.1", names=("shop.test",)), None),
        (place(port=444, names=("shop.test",)), "sites-enabled/shop:6"),
        (place("192.0.2.1", port=444, names=("shop.test",)), "sites-enabled/shop:6"),
        (place("192.0.2.2", port=444, names=("shop.test",)), None),
        (place("::", port=444, names=("shop.test",)), None),
    ],
)
def test_nginx_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], where: str | None
) -> None:
    said = refusal(nginx(tmp_path, sites_enabled__shop=SHOP), "nginx", wanted, file=str(tmp_path / OURS))
    assert where in (said or "") if where else said is None, said


@pytest.mark.parametrize(
    ("listen", "host", "clash"),
    [
        ("443", "", True),
        ("192.0.2.1:443", "", True),
        ("443", "192.0.2.1", True),
        ("443", "::", False),
        ("[::]:443", "::", True),
        ("443 udp", "", False),
        ("444", "", False),
    ],
)
def test_nginx_shares_no_port_with_its_streams(tmp_path: Path, listen: str, host: str, clash: bool) -> None:
    """Such as one that passes TLS on by its name (ssl_preread)."""
    service = nginx(tmp_path)
    stream = f"stream {{\n    server {{ listen {listen}; proxy_pass x; }}\n}}\n"
    (tmp_path / "nginx.conf").write_text(MAIN + stream)
    said = refusal(service, "nginx", place(host), file=str(tmp_path / OURS))
    assert ("'stream'" in (said or "")) is clash and (said is not None) is clash, said


def test_a_port_of_another_process_is_refused() -> None:
    """Also one for the redirect of plain HTTP, at which nothing is proven."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wanted = place("127.0.0.1", listener.getsockname()[1], plain=True)
        with pytest.raises(StepError, match="is held by") as caught:
            claims = {"server": "nginx", "file": None, "tickets": False, "places": [wanted]}
            refuse_clashes(replace(NGINX, programs=("nginx",)), claims)
    assert caught.value.code == "port_taken" and "redirect: false" in (caught.value.remedy or "")


def test_nginx_keeps_somebody_s_default_server(tmp_path: Path) -> None:
    last, early = str(tmp_path / OURS), str(tmp_path / CONF_D)
    service = nginx(tmp_path, sites_enabled__shop=SHOP)
    assert refusal(service, "nginx", place(), file=last) is None
    said = refusal(service, "nginx", place(), file=early) or ""
    assert "default server" in said and f"{tmp_path}/sites-enabled/shop:1" in said
    service = nginx(tmp_path, sites_enabled__shop=SHOP.replace("443 ssl", "443 ssl default_server"))
    assert refusal(service, "nginx", place(), file=early) is None
    # Ours as they are now, wherever they are, are no clash with what they will be.
    (tmp_path / CONF_D).write_text("server { listen 443; server_name www.test; }")
    (tmp_path / "sites-enabled" / "shop").write_text(SHOP)
    assert refusal(service, "nginx", place(), file=last) is None
    assert refusal(service, "nginx", place(), file=None)


@pytest.mark.parametrize(
    ("server", "kept"),
    [
        (WELCOME, False),
        (WELCOME.replace("404.html {", "404.html { proxy_pass http://127.0.0.1; "), True),
        (WELCOME.replace("/usr/share/nginx/html", "/srv"), True),
        (WELCOME.replace("error_page 404", "return 200"), True),
    ],
)
def test_a_package_s_welcome_page_is_nobody_s(tmp_path: Path, server: str, kept: bool) -> None:
    """It is the default server of port 80 only as long as there is no other."""
    service = nginx(tmp_path, sites_enabled__zzz=server)
    said = refusal(service, "nginx", place(port=80, plain=True), file=str(tmp_path / CONF_D))
    assert (said is not None) is kept


def test_nginx_that_cannot_be_read_is_its_own_check_s_business(tmp_path: Path) -> None:
    service = nginx(tmp_path, conf_d__a="", conf_d__b="server { listen 443; server_name www.test; ")
    (tmp_path / "conf.d" / "b.conf").write_text("server { listen 443; server_name www.test; ")
    assert refusal(service, "nginx", place(), file=str(tmp_path / OURS)) is None
    for name in ("a", "b"):
        (tmp_path / "conf.d" / f"{name}.conf").write_text("include conf.d/*.conf;")
    assert refusal(service, "nginx", place(), file=str(tmp_path / OURS)) is None
    (tmp_path / "nginx.conf").unlink()
    assert refusal(service, "nginx", place(), file=str(tmp_path / OURS)) is None
    assert refusal(Service("nginx", validate=("sh", "-c", "true")), "nginx", place(), file=str(tmp_path / OURS)) is None


def test_nginx_without_listen_is_port_80() -> None:
    files = nginx_files.files_of(
        "# configuration file /n.conf:\nhttp { server { server_name a; } server { listen unix:/x; } }\n"
    )
    assert [[(each.host, each.port) for each in server.listens] for server in nginx_config.servers(files)] == [
        [("", 80)],
        [],
    ]


def test_no_claims_ask_nothing() -> None:
    refuse_clashes(NGINX, None)
    refuse_clashes(NGINX, {"server": "nginx", "file": None, "tickets": True, "places": []})


def test_configuration_files_of_a_command(tmp_path: Path) -> None:
    for name in ("b.cfg", "a.cfg", "c.txt"):
        (tmp_path / name).touch()
    found = haproxy_config.configuration_files(("haproxy", "-c", "-f", "/x.cfg", "-f", str(tmp_path)))
    assert found == ["/x.cfg", str(tmp_path / "a.cfg"), str(tmp_path / "b.cfg")]
