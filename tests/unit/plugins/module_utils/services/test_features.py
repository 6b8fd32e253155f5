# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that say what they can do; real servers are in tests/fleet/test_client_names.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.services import features
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service

LOADED = (
    "# configuration file /etc/nginx/modules-enabled/50-mod-http-lua.conf:\nload_module modules/ngx_http_lua_module.so;"
)
NGINX = Service("nginx", validate=("nginx", "-t", "-q"))
APACHE = Service("apache", validate=("apache2ctl", "-t"))
HAPROXY = Service("haproxy")
COMMENTED = "# load_module modules/ngx_http_lua_module.so;"
OPENRESTY = "configure arguments: --add-module=../ngx_lua-0.10.26 --with-ld-opt=-Wl"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(features, "APACHE_MODULE", str(tmp_path / "lua.load"))
    return tmp_path


def program(folder: Path, name: str, **answers: str) -> None:
    """Answers to options; what it is not told about fails."""
    cases = "".join(f"-{option}*) cat <<'END'\n{text}\nEND\n;;\n" for option, text in answers.items())
    (folder / name).write_text(f'#!/bin/sh\ncase "$1" in {cases} *) exit 1;; esac\n')
    (folder / name).chmod(0o755)


def nginx_says(folder: Path, version: str) -> None:
    """On standard error."""
    program(folder, "nginx", V=version)
    (folder / "nginx").write_text((folder / "nginx").read_text().replace("-V*) cat", "-V*) >&2 cat"))


@pytest.mark.parametrize(
    ("configuration", "version", "there"), [(LOADED, "", True), (COMMENTED, "", False), ("", OPENRESTY, True)]
)
def test_nginx(programs: Path, configuration: str, version: str, there: bool) -> None:
    (programs / "nginx.conf").write_text("include more.conf;")
    (programs / "more.conf").write_text(configuration)
    nginx_says(programs, f"{version} --conf-path={programs}/nginx.conf --with-x")
    assert features.nginx_has_lua(NGINX) is there


def test_haproxy(programs: Path) -> None:
    program(programs, "haproxy", vv="Feature list : +EPOLL +LUA -KQUEUE")
    features.refuse_missing_features(HAPROXY, ["haproxy_lua"])
    program(programs, "haproxy", vv="Feature list : +EPOLL -LUA -KQUEUE")
    with pytest.raises(StepError) as refused:
        features.refuse_missing_features(HAPROXY, ["haproxy_lua"])
    assert refused.value.code == "feature_missing" and "package haproxy" in refused.value.remedy


def test_apache(programs: Path) -> None:
    program(programs, "apache2ctl", M="Loaded Modules:\n core_module (static)")
    assert not features.apache_has_lua(APACHE)
    (programs / "lua.load").touch()
    assert features.apache_has_lua(APACHE)
    (programs / "lua.load").unlink()
    program(programs, "apache2ctl", M="Loaded Modules:\n lua_module (shared)")
    assert features.apache_has_lua(APACHE)


def test_a_configuration_that_is_bad_already_is_for_the_server_to_complain_of(programs: Path) -> None:
    for name in ("apache2ctl", "haproxy"):
        program(programs, name)
    nginx_says(programs, f"--conf-path={programs}/absent.conf")
    for service, name in ((NGINX, "nginx_lua"), (APACHE, "apache_lua"), (HAPROXY, "haproxy_lua")):
        features.refuse_missing_features(service, [name])
