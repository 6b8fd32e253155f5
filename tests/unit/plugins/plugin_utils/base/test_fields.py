# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import (
    Fields,
    names_list,
    one_of,
    parse_boolean,
    parse_directory,
    parse_mode,
    parse_path,
)


def test_unknown_option_with_a_suggestion() -> None:
    with pytest.raises(SpecError) as caught:
        Fields({"dns_name": 1}, ("dns_names", "issuer"), "services")
    assert str(caught.value) == "services: unknown option 'dns_name'. Did you mean 'dns_names'?"


def test_unknown_option_without_a_likely_one() -> None:
    with pytest.raises(SpecError) as caught:
        Fields({1: 1}, ("dns_names", "issuer"))
    assert str(caught.value) == "unknown option '1'. Known: dns_names, issuer."


@pytest.mark.parametrize("raw", [None, 5, "-----BEGIN PRIVATE KEY-----", ["-----BEGIN PRIVATE KEY-----"]])
def test_no_mapping_and_its_value_is_not_told(raw: Any) -> None:
    with pytest.raises(SpecError) as caught:
        Fields(raw, ("algorithm",), "private_key")
    assert str(caught.value) == "private_key must be a mapping. Its fields: algorithm."


def test_values() -> None:
    fields = Fields({"a": None, "b": 5, "c": "x", "d": ("x", 1)}, "abcde")
    assert (fields.get("a", "default"), fields.get("e", "default"), fields.get("b")) == ("default", "default", 5)
    assert (fields.text("a"), fields.text("b")) == (None, "5")
    assert (fields.items("a"), fields.items("d")) == ([], ["x", 1])
    assert (fields.strings("c"), fields.strings("d"), fields.strings("e")) == (["x"], ["x", "1"], [])


@pytest.mark.parametrize("value", [{"x": 1}, 5, "text"])
def test_no_list(value: Any) -> None:
    with pytest.raises(SpecError, match="services: a must be a list") as caught:
        Fields({"a": value}, "a", "services").items("a")
    assert caught.value.remedy


def test_one_of() -> None:
    class Tagged(str):
        """As ansible-core's texts are."""

    assert not isinstance(one_of(Tagged("ed25519"), ("ed25519",), "x"), Tagged)
    with pytest.raises(SpecError) as caught:
        one_of("ecdsa-p265", ("ecdsa-p256", "ed25519"), "algorithm")
    assert str(caught.value) == "algorithm: 'ecdsa-p265' is unknown. Did you mean 'ecdsa-p256'?"


@pytest.mark.parametrize(
    ("value", "secret", "mode"),
    [
        ("0600", True, "0600"),
        ("640", True, "0640"),
        (0o640, True, "0640"),
        ("0644", False, "0644"),
        ("0o600", True, "0600"),
    ],
)
def test_modes(value: Any, secret: bool, mode: str) -> None:
    assert parse_mode(value, secret=secret) == mode


@pytest.mark.parametrize("value", ["", "rw", "u=rw", "0800", "7777", 600, 640, -1, None, True, 0.5, [6]])
def test_what_is_no_mode(value: Any) -> None:
    with pytest.raises(SpecError, match="is not a file mode") as caught:
        parse_mode(value, secret=False)
    assert caught.value.remedy


@pytest.mark.parametrize("value", ["0644", "0604", "0602", "0601", 0o666, "777", "0620", 400])
def test_modes_that_let_others_at_a_key(value: Any) -> None:
    with pytest.raises(SpecError, match="lets more than its owner") as caught:
        parse_mode(value, secret=True)
    assert caught.value.remedy


@pytest.mark.parametrize(("value", "path"), [("/a/b", "/a/b"), ("/a/../b", "/b"), ("/a//b/./c", "/a/b/c")])
def test_paths(value: str, path: str) -> None:
    assert parse_path(value, "outputs: path") == path


@pytest.mark.parametrize("value", [None, "", "a/b", "./a", "~/a", "/a/", "/", "/a\0b", "/a\nb"])
def test_what_is_no_path(value: Any) -> None:
    with pytest.raises(SpecError, match="outputs: path: ") as caught:
        parse_path(value, "outputs: path")
    assert caught.value.remedy


def test_a_directory_may_end_with_a_slash() -> None:
    assert parse_directory("/etc/fleet-tls/", "directory") == "/etc/fleet-tls"
    with pytest.raises(SpecError, match="not an absolute path"):
        parse_directory("/", "directory")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        ("yes", True),
        ("No", False),
        (1, True),
        (" off ", False),
        ("y", True),
        ("n", False),
        ("0", False),
        (0, False),
    ],
)
def test_booleans(value: Any, expected: bool) -> None:
    assert parse_boolean(value, "check") is expected


@pytest.mark.parametrize("value", ["maybe", 2, None, [], ""])
def test_what_is_no_boolean(value: Any) -> None:
    with pytest.raises(SpecError, match="check: .* is neither true nor false"):
        parse_boolean(value, "check")


def test_a_flag_is_told_with_its_field() -> None:
    fields = Fields(
        {"redirect": "false", "http2": "perhaps", "hsts": None}, ("redirect", "http2", "hsts"), "site 'www'"
    )
    assert fields.flag("redirect", True) is False
    assert fields.flag("hsts") is False and fields.flag("hsts", True) is True
    with pytest.raises(SpecError, match="^site 'www': http2: 'perhaps' is neither true nor false"):
        fields.flag("http2")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("web10", ["web10"]),
        (" web10 ", ["web10"]),
        ("", []),
        (None, []),
        (["web1", "web10"], ["web1", "web10"]),
        ((7,), ["7"]),
    ],
)
def test_names_are_a_list_however_they_were_given(value: object, names: list[str]) -> None:
    assert names_list(value, "tls_leave_behind") == names


@pytest.mark.parametrize(
    "value", ["web1,web10", "web1 web10", "['web1']", '["web1"]', "   ", [["web1"]], [""], {"web1": 1}, 7, True]
)
def test_what_looks_like_several_names_is_refused(value: object) -> None:
    with pytest.raises(SpecError, match="tls_leave_behind: it must be a list of names, or one name") as caught:
        names_list(value, "tls_leave_behind")
    assert '-e \'{"tls_leave_behind": ["web1", "web2"]}\'' in str(caught.value.remedy)
