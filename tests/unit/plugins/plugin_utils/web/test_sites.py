# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import expand_sites


def expand_site(raw: Any, server: str = "nginx", client_auth: str = "none") -> dict[str, Any]:
    (site,) = expand_sites([raw], server, client_auth)
    return site


WWW = {"name": "www", "server_names": ["www.example.com"], "certificate": "web", "root": "/srv/www"}


def test_defaults_are_filled_in() -> None:
    assert expand_site(WWW) == {
        "name": "www",
        "server_names": ["www.example.com"],
        "certificate": "web",
        "certificates": ["web"],
        "listen": ["443"],
        "root": "/srv/www",
        "upstream": None,
        "upstream_address": None,
        "upstream_tls": None,
        "hsts": 0,
        "http2": False,
        "client_auth": "none",
        "client_names": [],
        "client_headers": [],
        "checks_clients": False,
        "session": "public",
        "waiting": False,
        "http_listen": ["80"],
        "redirect": False,
        "redirect_port": "",
        "endpoints": [{"host": "127.0.0.1", "port": 443, "server_name": "www.example.com", "certificate": "web"}],
    }


BOTH = {**{key: value for key, value in WWW.items() if key != "certificate"}, "certificates": ["web-ecdsa", "web-rsa"]}


def test_several_certificates_are_proven_at_every_address() -> None:
    site = expand_site({**BOTH, "listen": [443, 8443]})
    assert (site["certificate"], site["certificates"]) == ("web-ecdsa", ["web-ecdsa", "web-rsa"])
    assert [(each["port"], each["certificate"]) for each in site["endpoints"]] == [
        (443, "web-ecdsa"), (443, "web-rsa"), (8443, "web-ecdsa"), (8443, "web-rsa"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("waiting", "served", "waits"),
    [
        (["web-rsa"], ["web-ecdsa"], False),
        (["web-ecdsa"], ["web-rsa"], False),
        (["web-ecdsa", "web-rsa"], ["web-ecdsa", "web-rsa"], True),
    ],
)
def test_a_site_waits_for_the_first_of_its_certificates_only(
    waiting: list[str], served: list[str], waits: bool
) -> None:
    (site,) = expand_sites([BOTH], waiting=waiting)
    assert (site["certificates"], site["waiting"]) == (served, waits)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"certificate": "web"}, "give either certificate (a name) or certificates"),
        ({"certificates": None}, "give either certificate (a name) or certificates"),
        ({"certificates": []}, "certificates is empty"),
        ({"certificates": ["a", "a"]}, "certificates: given twice is 'a'"),
        ({"certificates": ["a", "b/c"]}, "certificates: 'b/c' cannot be used"),
    ],
)
def test_certificates_that_cannot_be(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SpecError) as found:
        expand_site({**BOTH, **changes})
    assert complaint in str(found.value)


def test_haproxy_needs_a_name_to_choose_by() -> None:
    nameless = {**BOTH, "server_names": ["_"], "root": None, "upstream": "http://127.0.0.1:8080"}
    assert len(expand_site(nameless)["certificates"]) == 2
    with pytest.raises(SpecError, match="HAProxy before 3.0 shows clients that ask for no name the first one only"):
        expand_site(nameless, "haproxy")


@pytest.mark.parametrize("field", ["redirect", "http2"])
def test_what_is_false_as_text_is_false(field: str) -> None:
    assert [expand_site({**WWW, field: text})[field] for text in ("false", "no", "0", "off")] == [False] * 4
    assert [expand_site({**WWW, field: text})[field] for text in ("true", "yes", 1, "On")] == [True] * 4
    with pytest.raises(SpecError, match=f"site 'www': {field}: 'nope' is neither true nor false"):
        expand_site({**WWW, field: "nope"})


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
    assert site["http_listen"] == redirect
    assert site["redirect_port"] == port


@pytest.mark.parametrize(
    ("server_names", "server_name"),
    [
        (["*.example.com", "example.com"], "example.com"),
        (["*.example.com"], "www.example.com"),
        ([".example.com"], "example.com"),
        (["_"], None),
        (["_", "web1"], "web1"),
        ([r"~^shop\d+\.example\.com$"], "shop1.example.com"),
        ([r"~^shop\d+\.example\.com$", "*.example.com"], "www.example.com"),
        ([r"~^(?!x)"], None),
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
        ({"hsts": "-1"}, "hsts: '-1' is not a duration"),
        ({"hsts": 31536000}, "hsts: '31536000' is not a duration"),
        ({"liste": 443}, "Did you mean 'listen'"),
        ({"listen": "a;b:443"}, "cannot be used"),
        ({"listen": "a/b:443"}, "not the name or address"),
        ({"name": "../x"}, "cannot be used"),
        ({"certificate": "a/b"}, "cannot be used"),
        ({"root": "srv"}, "not an absolute path"),
        ({"root": "/srv/$host"}, "without variables"),
        ({"root": None, "upstream": "http://%ENV"}, "without variables"),
        ({"root": None, "upstream": "ftp://127.0.0.1"}, "not an http or https URL"),
        ({"root": None, "upstream": "http://u@127.0.0.1"}, "not an http or https URL"),
        ({"root": None, "upstream": "http://127.0.0.1:port"}, "is not a URL"),
        ({"root": None, "upstream": "http://127.0.0.1:0"}, "not a port"),
        ({"server_names": ["a`b"]}, "cannot be used"),
        ({"server_names": ["<a>"]}, "cannot be used"),
        ({"server_names": ["a/b"]}, "not a name that nginx can answer to"),
        ({"client_auth": "maybe"}, "client_auth: 'maybe' is unknown"),
    ],
)
def test_what_cannot_be_done_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        expand_site({**WWW, **change})


def test_two_sites_of_one_name_are_refused() -> None:
    with pytest.raises(SpecError, match="two sites have the name 'www'"):
        expand_sites([WWW, {**WWW, "listen": 8443}])
    with pytest.raises(SpecError, match="must be a list"):
        expand_sites({"www": WWW})


@pytest.mark.parametrize(
    ("server", "change", "words"),
    [
        ("haproxy", {}, "root: HAProxy serves no files"),
        ("haproxy", {"root": None, "upstream": "http://127.0.0.1/app"}, "HAProxy passes paths on as they are"),
        ("apache", {"server_names": ["~^www"]}, "not a name that apache can answer to"),
        ("haproxy", {"server_names": [".example.com"]}, "not a name that haproxy can answer to"),
        ("caddy", {}, "server: 'caddy' is unknown"),
    ],
)
def test_what_a_server_cannot_do_is_refused(server: str, change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        expand_site({**WWW, **change}, server)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8080", ("http", "127.0.0.1", 8080, "")),
        ("http://app", ("http", "app", 80, "")),
        ("https://app.example.com/base/", ("https", "app.example.com", 443, "/base/")),
        ("http://[::1]:8080", ("http", "::1", 8080, "")),
    ],
)
def test_the_address_of_an_upstream(url: str, address: tuple[str, str, int, str]) -> None:
    found = expand_site({**WWW, "root": None, "upstream": url})["upstream_address"]
    assert tuple(found[key] for key in ("scheme", "host", "port", "path")) == address


def sessions(*sites: tuple[Any, str]) -> list[str]:
    """What becomes of sites with these ``listen`` and ``client_auth``."""
    raw = [
        {**WWW, "name": f"s{place}", "listen": listen, "client_auth": auth}
        for place, (listen, auth) in enumerate(sites)
    ]
    return [site["session"] for site in expand_sites(raw)]


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ([(443, "none"), (443, "none")], ["public", "public"]),
        ([(443, "none"), (8443, "required"), (9443, "optional")], ["public", "required", "optional"]),
        ([(443, "required"), (443, "required")], ["required", "required"]),
        # One address and port for both: nobody's sessions are resumed there, and the other addresses do not care.
        ([(443, "none"), (443, "required"), (8443, "none")], ["off", "off", "public"]),
        ([(443, "optional"), (443, "required")], ["off", "off"]),
        # The same socket, however it is written.
        ([(443, "none"), ("*:443", "required")], ["off", "off"]),
        ([("0.0.0.0:443", "none"), ("443", "required")], ["off", "off"]),
        # Two sockets with one port.
        ([("192.0.2.1:443", "none"), ("192.0.2.2:443", "required")], ["public", "required"]),
        ([(443, "none"), ("[::]:443", "required")], ["public", "required"]),
        # A site that is mixed at one of its addresses is so at all of them.
        ([([443, 8443], "none"), (443, "required"), (8443, "none")], ["off", "off", "public"]),
    ],
)
def test_sessions_stay_among_sites_of_one_kind(sites: list[tuple[Any, str]], expected: list[str]) -> None:
    assert sessions(*sites) == expected


def test_client_auth_of_sites_that_do_not_say() -> None:
    sites = expand_sites([WWW, {**WWW, "name": "open", "listen": 8443, "client_auth": "none"}], "nginx", "required")
    assert [site["client_auth"] for site in sites] == ["required", "none"]
    with pytest.raises(SpecError, match="tls_client_auth: 'yes' is unknown"):
        expand_sites([WWW], "nginx", "yes")
