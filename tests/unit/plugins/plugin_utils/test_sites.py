# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.sites import expand_site, expand_sites

WWW = {"name": "www", "server_names": ["www.example.com"], "certificate": "web", "root": "/srv/www"}


def test_defaults_are_filled_in() -> None:
    assert expand_site(WWW) == {
        "name": "www",
        "server_names": ["www.example.com"],
        "certificate": "web",
        "listen": ["443"],
        "root": "/srv/www",
        "upstream": None,
        "hsts": 0,
        "http2": False,
        "redirect_listen": [],
        "redirect_port": "",
        "endpoints": [{"host": "127.0.0.1", "port": 443, "server_name": "www.example.com", "certificate": "web"}],
    }


@pytest.mark.parametrize(
    ("listen", "texts", "endpoints", "redirect", "port"),
    [
        (443, ["443"], [("127.0.0.1", 443)], ["80"], ""),
        ("8443", ["8443"], [("127.0.0.1", 8443)], ["80"], ":8443"),
        (["443", "[::]:443"], ["443", "[::]:443"], [("127.0.0.1", 443), ("::1", 443)], ["80", "[::]:80"], ""),
        (["*:443"], ["*:443"], [("127.0.0.1", 443)], ["*:80"], ""),
        (["0.0.0.0:443"], ["0.0.0.0:443"], [("127.0.0.1", 443)], ["0.0.0.0:80"], ""),
        (["192.0.2.1:443"], ["192.0.2.1:443"], [("192.0.2.1", 443)], ["192.0.2.1:80"], ""),
        ([443, 8443], ["443", "8443"], [("127.0.0.1", 443), ("127.0.0.1", 8443)], ["80"], ""),
    ],
)
def test_listen(listen: Any, texts: list[str], endpoints: list[Any], redirect: list[str], port: str) -> None:
    site = expand_site({**WWW, "listen": listen, "redirect": True})
    assert site["listen"] == texts
    assert [(each["host"], each["port"]) for each in site["endpoints"]] == endpoints
    assert site["redirect_listen"] == redirect
    assert site["redirect_port"] == port


@pytest.mark.parametrize(
    ("server_names", "server_name"),
    [
        (["*.example.com", "example.com"], "example.com"),
        (["*.example.com"], "www.example.com"),
        ([".example.com"], "example.com"),
        (["_"], None),
        (["_", "web1"], "web1"),
    ],
)
def test_the_proof_asks_for_a_name_that_reaches_the_site(server_names: list[str], server_name: str | None) -> None:
    assert expand_site({**WWW, "server_names": server_names})["endpoints"][0]["server_name"] == server_name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"upstream": "http://127.0.0.1:8080"}, "either root"),
        ({"root": None}, "either root"),
        ({"server_names": []}, "server_names is empty"),
        ({"server_names": ["a b"]}, "cannot be used"),
        ({"root": "/srv; evil"}, "cannot be used"),
        ({"name": "x\n}"}, "cannot be used"),
        ({"certificate": None}, "certificate"),
        ({"listen": []}, "listen is empty"),
        ({"listen": 0}, "not a port"),
        ({"listen": "unix:/run/x:443"}, "not a port"),
        ({"hsts": "-1"}, "not a number"),
        ({"hsts": True}, "not a number"),
        ({"liste": 443}, "Did you mean 'listen'"),
    ],
)
def test_what_cannot_be_done_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        expand_site({**WWW, **change})


def test_two_sites_of_one_name_are_refused() -> None:
    with pytest.raises(SpecError, match="two sites have the name 'www'"):
        expand_sites([WWW, {**WWW, "listen": 8443}])
    with pytest.raises(SpecError, match="has to be a list"):
        expand_sites({"www": WWW})
