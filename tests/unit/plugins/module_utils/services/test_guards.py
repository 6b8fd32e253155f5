# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where servers are configured to listen, as their own programs show it. The servers themselves are met in tests/fleet."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.blocks import BEGIN, END
from ansible_collections.fleet.tls.plugins.module_utils.services import guards
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service
from ansible_collections.fleet.tls.plugins.module_utils.system.sockets import process_name
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.presets import find_preset, preset_names

NGINX = """# configuration file /etc/nginx/nginx.conf:
http { # listen 1;
    server { listen 443 ssl http2 default_server; listen [::]:443 ssl;
        listen 127.0.0.1:8080; listen 127.0.0.2; listen unix:/run/nginx.sock; listen 5140 udp; listen 5141 quic reuseport;
        server_name "a;b{" ~^shop\\d{1,3}$; content_by_lua_block { local x = "}" } # listen 3;
        location / { return 200 "listen 99 not"; }
    }
    server {listen 444;}
    include /etc/nginx/conf.d/*.conf;
}
stream { server { listen 5142; } server { listen 5143 udp; } }
# configuration file /etc/nginx/conf.d/more.conf:
server { listen 445; listen [::]:446 ipv6only=off; }
"""
HAPROXY = """global
    stats socket /run/haproxy/admin.sock
frontend a
    bind :443 ssl crt /etc/a.pem # bind :1
    bind 127.0.0.1:80,[::1]:81 name x
    bind ipv4@*:82
    bind /run/a.sock
    bind unix@/run/b.sock
    bind abns@c
    bind quic4@:444 ssl
    bind "${ADDRESS}:445"
    bind :8000-8010
.if defined(X)
    bind :446
.endif
    bind "*:83"
"""
DOVECOT = """# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
listen = 127.0.0.1, 127.0.0.3
service imap-login {
  inet_listener user {
    port = 7143
  }
  inet_listener imaps {
    address = *
    port = 7993
  }
  inet_listener imap {
    port = 0
  }
}
"""
CADDY = """{"apps": {"http": {"servers": {
  "srv0": {"listen": [":11443", "127.0.0.1:81", "udp/:82", "unix//run/caddy.sock", "tcp/[::1]:84"]}, "srv1": {}
}}}}"""
MASTER = """smtp       inet  n       -       y       -       -       smtpd
127.0.0.1:10025 inet n - n - - smtpd
submission inet n       -       y       -       -       smtpd
no-such-name inet n - n - - smtpd
pickup     unix  n       -       y       60      1       pickup
"""
POSTCONF = 'case "$1" in -h) echo "127.0.0.1, 127.0.0.2";; *) cat {0};; esac'


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory of programs that come before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def program(folder: Path, name: str, shown: str, script: str = "cat {0}") -> None:
    (folder / f"{name}.shown").write_text(shown)
    path = folder / name
    path.write_text("#!/bin/sh\n" + script.format(folder / f"{name}.shown"))
    path.chmod(0o755)


def preset(name: str) -> Service:
    found = find_preset(name)
    assert found is not None
    return Service(name, validate=found.validate, programs=found.programs)


def places(name: str) -> set[tuple[str, int]]:
    return {(str(place.address), place.port) for place in guards.LOOKS[name](preset(name))}


def test_nginx(programs: Path) -> None:
    program(programs, "nginx", NGINX)
    found = places("nginx")
    assert {("0.0.0.0", 443), ("::", 443), ("127.0.0.1", 8080), ("127.0.0.2", 80), ("0.0.0.0", 444)} <= found
    assert {("0.0.0.0", 445), ("::", 446), ("0.0.0.0", 5142)} <= found
    assert not {port for _host, port in found} & {1, 3, 99, 5140, 5141, 5143}
    assert {place.port for place in guards.LOOKS["nginx"](preset("nginx")) if place.v6only} == {443}


def test_haproxy(tmp_path: Path) -> None:
    """Ours are ports as well; what only the environment or a condition decides is left out."""
    ours = f"{BEGIN.decode()}\nfrontend ours\n    bind :447\n    bind [::]:448 v6only\n{END.decode()}\n"
    (tmp_path / "haproxy.cfg").write_text(HAPROXY + ours)
    service = Service("haproxy", validate=("haproxy", "-c", "-f", str(tmp_path)))
    found = [(str(place.address), place.port, place.v6only) for place in guards.LOOKS["haproxy"](service)]
    everywhere = [443, 82, *range(8000, 8011), 83, 447]
    assert sorted(found) == sorted(
        [
            ("127.0.0.1", 80, False),
            ("::1", 81, True),
            ("::", 448, True),
            *(("0.0.0.0", port, False) for port in everywhere),
        ]
    )


def test_dovecot(programs: Path) -> None:
    program(programs, "doveconf", DOVECOT)
    assert places("dovecot") == {("127.0.0.1", 7143), ("127.0.0.3", 7143), ("0.0.0.0", 7993)}


def test_caddy(programs: Path) -> None:
    program(programs, "caddy", CADDY)
    assert places("caddy") == {("0.0.0.0", 11443), ("127.0.0.1", 81), ("::1", 84)}


def test_postfix(programs: Path) -> None:
    program(programs, "postconf", MASTER, POSTCONF)
    both = {(host, port) for host in ("127.0.0.1", "127.0.0.2") for port in (25, 587)}
    assert places("postfix") == both | {("127.0.0.1", 10025)}


@pytest.mark.parametrize("name", ["nginx", "dovecot", "caddy"])
def test_a_program_that_shows_nothing(programs: Path, name: str) -> None:
    """What cannot be looked at is the server's own check to refuse."""
    for each in ("nginx", "doveconf", "caddy"):
        program(programs, each, "", "exit 1")
    assert places(name) == set()


def test_who_has_the_port_is_told(programs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program(
            programs,
            "nginx",
            f"# configuration file /etc/nginx/nginx.conf:\nhttp {{ server {{ listen 127.0.0.1:{port}; }} }}",
        )
        with pytest.raises(StepError, match=f"wants port {port}, which is held by ") as caught:
            guards.GUARDS["nginx"](preset("nginx"))
        # A preset of the user's says what its processes are called.
        own = replace(preset("nginx"), programs=(process_name(os.getpid()),))
        guards.GUARDS["nginx"](own)
    assert caught.value.code == "port_taken" and f"(process {os.getpid()})" in caught.value.message
    guards.GUARDS["nginx"](preset("nginx"))


OURS, TYPO = f">>> '{guards.UNKNOWN_OPTION} yes'", ">>> 'maxmemori 1mb'"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        # Redis 7 stops at the first, Redis 8 names all of them, as options of modules that are not there.
        (f"Reading the configuration file, at line 7\n{OURS}\nBad directive or wrong number of arguments", None),
        (f"Reading the configuration file, at line 7\n{TYPO}\nBad directive or wrong number of arguments", TYPO),
        (f"# Unresolved Configuration(s) Detected:\n# {OURS}\n# Module Configuration detected: aborting", None),
        (
            f"# Unresolved Configuration(s) Detected:\n# {TYPO}\n# {OURS}\n# Module Configuration detected: aborting",
            TYPO,
        ),
        ("# Failed to configure TLS. Check logs for more info.", "Failed to configure TLS"),
    ],
)
def test_redis_may_complain_of_our_option_only(
    programs: Path, monkeypatch: pytest.MonkeyPatch, said: str, found: str | None
) -> None:
    monkeypatch.setattr(guards, "config_file", lambda files: "/etc/redis.conf")
    redis = Service("redis", programs=("redis-server",))
    program(programs, "redis-server", said, "cat {0}; exit 1")
    if found is None:
        guards.GUARDS["redis"](redis)
        return
    with pytest.raises(StepError) as caught:
        guards.GUARDS["redis"](redis)
    assert caught.value.code == "validate_failed" and found in caught.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts another user's server")
@pytest.mark.parametrize(("user", "refused"), [("nobody", True), ("root", False)])
def test_another_user_s_postgresql_is_no_reason_to_refuse(tmp_path: Path, user: str, refused: bool) -> None:
    """Its configuration has a fault: this program does not know -C."""
    program = tmp_path / "some-postgres"
    shutil.copy("/bin/sh", program)
    program.chmod(0o755)
    service = Service("postgresql", programs=("some-postgres",), user=user)
    script = "exec 2>/dev/null; echo ready; read -r end"
    command = ["setpriv", "--reuid=nobody", "--clear-groups", str(program), "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            if refused:
                with pytest.raises(StepError, match="validate_failed|ended with"):
                    list(guards.LOOKS["postgresql"](service))
            else:
                list(guards.LOOKS["postgresql"](service))
        finally:
            process.kill()


def test_every_preset_s_guard_is_there() -> None:
    presets = [find_preset(name) for name in preset_names()]
    assert {each.guard for each in presets if each and each.guard} == set(guards.GUARDS)
