# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps import facts as host_facts
from ansible_collections.fleet.tls.plugins.module_utils.steps.facts import (
    facts_step,
    family,
    resolvers,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import version_numbers
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ID=debian\n", "debian"),
        ("NAME=x\nID=ubuntu\nID_LIKE=debian\n", "debian"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "debian"),
        ('ID="rhel"\n', "redhat"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "redhat"),
        ("ID=fedora\n", "redhat"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "suse"),
        ("ID=alpine\n", "other"),
        ("no such thing", "other"),
        ("", "other"),
    ],
)
def test_family(text: str, found: str) -> None:
    assert family(text) == found


@pytest.mark.parametrize(
    ("known", "version"), [((3, 0, 0, 17, 0), [3, 0, 17]), ((3, 5, 0, 1, 0), [3, 5, 1]), ((1, 1, 1, 14, 15), [1, 1, 1])]
)
def test_openssl_version(known: tuple[int, ...], version: list[int]) -> None:
    assert version_numbers(known) == version


def test_resolvers() -> None:
    text = (
        "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\nnameserver\n nameserver 2001:db8::1 # two\n"
    )
    assert resolvers(text) == ["192.0.2.1", "2001:db8::1"]


def test_a_host_of_which_nothing_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_facts, "OS_RELEASE", (str(tmp_path / "none"),))
    monkeypatch.setattr(host_facts, "RESOLVERS", str(tmp_path / "none"))
    _changed, answer = facts_step({"directory": str(tmp_path / "none")})
    assert answer["host"]["family"] == "other"
    assert answer["host"]["resolvers"] == [] and answer["host"]["ocsp"] == []


def test_the_step(tmp_path: Path) -> None:
    """Also which live certificates have the address of a responder."""
    authority = Authority(tmp_path / "ca")
    for name, extension in (("with", "authorityInfoAccess=OCSP;URI:http://ocsp.example.com"), ("without", "")):
        pair = authority.issue(name, extra=extension)
        live = tmp_path / "tls" / "live" / name
        live.mkdir(parents=True)
        (live / "cert.pem").write_text(pair.pem)
    (tmp_path / "tls" / "live" / "dangling").symlink_to("nowhere")

    changed, answer = facts_step({"directory": str(tmp_path / "tls")})

    assert not changed
    assert answer["host"]["ocsp"] == ["with"]
    assert answer["host"]["python"] == list(sys.version_info[:2])
    shown = ".".join(str(each) for each in answer["host"]["openssl"])
    assert shown in ssl.OPENSSL_VERSION
