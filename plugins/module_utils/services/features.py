# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server's program can do, and packages leave out: looked at before a configuration that needs it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.services import nginx_files
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service, shown_by
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import ask

NGINX_LUA = re.compile(r"^\s*load_module\s+\S*ngx_http_lua_module\.so\s*;", re.MULTILINE)
NGINX_LUA_INSIDE = re.compile(r"--add-module=\S*(lua-nginx-module|ngx_lua)")
APACHE_MODULE = "/etc/apache2/mods-available/lua.load"


@dataclass(frozen=True)
class Feature:
    """:param is_there: whether the host has it; True as well where it cannot be told, so that the server's own check says what is wrong.
    :param what: it, for people.
    :param package: where it comes from.
    """

    is_there: Callable[[Service], bool]
    what: str
    package: str


def nginx_has_lua(service: Service) -> bool:
    """Whether nginx loads its Lua module, or has it built in as OpenResty does."""
    files = nginx_files.files_on_disk(service.validate or ())
    if not files or any(NGINX_LUA.search(text) for text in files.values()):
        return True
    program = (service.validate or ("nginx",))[0]
    return NGINX_LUA_INSIDE.search(ask((program, "-V"))[2]) is not None


def apache_has_lua(service: Service) -> bool:
    """Whether Apache has mod_lua: on Debian there to be switched on, elsewhere loaded."""
    if os.path.exists(APACHE_MODULE):
        return True
    modules = shown_by(service, "-t", "-M")
    return not modules or "lua_module" in modules


def haproxy_has_lua(_service: Service) -> bool:
    """Whether HAProxy was built with Lua."""
    status, words, _said = ask(("haproxy", "-vv"))
    return status != 0 or "+LUA" in words or "Built with Lua" in words


FEATURES = {
    "nginx_lua": Feature(
        nginx_has_lua,
        "nginx's Lua module",
        "the package libnginx-mod-http-lua on Debian and Ubuntu; OpenResty has it built in",
    ),
    "apache_lua": Feature(
        apache_has_lua,
        "Apache's module lua",
        "the package apache2-bin on Debian and Ubuntu, mod_lua on the RHEL family",
    ),
    "haproxy_lua": Feature(
        haproxy_has_lua, "Lua in HAProxy", "the package haproxy of Debian, Ubuntu and the RHEL family"
    ),
}


def refuse_missing_features(service: Service, wanted: Iterable[str]) -> None:
    """Look for what a configuration needs.

    :param wanted: names of ``FEATURES``.
    :raises StepError: feature_missing.
    """
    for name in wanted:
        feature = FEATURES[name]
        if not feature.is_there(service):
            raise StepError(
                "feature_missing",
                f"service '{service.name}': this host does not have {feature.what}, by which clients' certificates are read",
                f"install {feature.package}; or leave client_names and client_headers out of its sites. Nothing was changed",
            )
