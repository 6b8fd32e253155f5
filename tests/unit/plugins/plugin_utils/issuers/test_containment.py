# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuers of other collections: what they raise, return and are cannot hurt, and tells nothing."""

from __future__ import annotations

import datetime as dt
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import AdvisesRenewal
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.containment import contained
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import (
    Issued,
    Issuer,
    IssueRequest,
    load_issuers,
)
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, make_issuer, make_store

SECRET = "t0ken-of-the-ca"
WWW: dict[str, Any] = {"name": "www", "dns_names": ["www.example.com"]}
API: dict[str, Any] = {"name": "api", "dns_names": ["api.example.com"]}


def breaking(name: str, error: BaseException) -> type[CaIssuer]:
    """An issuer whose method ``name`` raises."""

    def raising(self: Any, *_arguments: Any, **_options: Any) -> Any:
        raise error

    member: Any = property(raising) if name == "lifetime" else raising
    bases = (CaIssuer, AdvisesRenewal) if name == "advice" else (CaIssuer,)
    return type("Broken", bases, {name: member})


@pytest.mark.parametrize("error", [KeyError(SECRET), ValueError(SECRET), SystemExit(SECRET), RecursionError(SECRET)])
@pytest.mark.parametrize("name", ["trust", "issue", "advice", "authorities", "prepare", "unprepared", "lifetime"])
def test_whatever_it_raises(name: str, error: BaseException, tmp_path: Path) -> None:
    issuer = contained(breaking(name, error), Issuer)("theirs", {}, make_store(tmp_path))
    with pytest.raises(IssuerError) as caught:
        member = getattr(issuer, name)
        {
            "issue": lambda: member([], NOW),
            "advice": lambda: member(None, NOW),
            "prepare": lambda: member(NOW),
            "unprepared": lambda: member(NOW),
        }.get(name, member)()
    told = "".join(traceback.format_exception(caught.value))
    assert f"issuer 'theirs' broke: {type(error).__name__} at test_containment.py:" in str(caught.value)
    assert SECRET not in told and caught.value.remedy


def test_its_own_errors_pass(tmp_path: Path) -> None:
    mine = IssuerError("the line is dead")
    with pytest.raises(IssuerError) as caught:
        contained(breaking("trust", mine), Issuer)("theirs", {}, make_store(tmp_path)).trust()
    assert caught.value is mine
    with pytest.raises(SpecError, match="unknown option 'x'"):
        contained(CaIssuer, Issuer)("theirs", {"x": 1}, make_store(tmp_path))


def test_a_constructor_that_breaks(tmp_path: Path) -> None:
    with pytest.raises(IssuerError, match="issuer 'theirs' broke: KeyError at"):
        contained(breaking("__init__", KeyError(SECRET)), Issuer)("theirs", {}, make_store(tmp_path))


@pytest.mark.parametrize("name", ["trust", "issue", "advice"])
def test_the_other_certificates_go_on(name: str, tmp_path: Path) -> None:
    issuers: dict[str, Issuer] = {
        "theirs": contained(CaIssuer, Issuer)("theirs", {}, make_store(tmp_path)),
        "internal": make_issuer(tmp_path),
    }
    host, wishes = HonestHost(), ({**WWW, "issuer": "theirs"}, API)
    assert failure(run_task(host, issuers, *wishes)) is None
    issuers["theirs"] = contained(breaking(name, KeyError(SECRET)), Issuer)("theirs", {}, make_store(tmp_path))
    run = run_task(host, issuers, *wishes, force=name == "issue")
    error = failure(run)
    assert "certificate 'www': issuer 'theirs' broke: KeyError at" in str(error) and "'api'" not in str(error)
    assert "Kept: generation 1" in str(error) and SECRET not in str(error) + repr(run)
    assert host.live["api"].generation == (2 if name == "issue" else 1)


ANSWERS: dict[str, Any] = {
    "nothing": None,
    "too few": [],
    "a generator": (each for each in ()),
    "texts": ["-----BEGIN CERTIFICATE-----"],
    "an empty chain": (Issued(()),),
    "no certificates": (Issued(("x",)),),  # type: ignore[arg-type]
    "a key that is none": (Issued(("x",), private_key="x"),),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", ANSWERS)
def test_odd_answers(name: str, tmp_path: Path) -> None:
    class Odd(CaIssuer):
        def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
            return ANSWERS[name]  # type: ignore[no-any-return]

    issuers: dict[str, Issuer] = {"odd": Odd("odd", {}, make_store(tmp_path)), "internal": make_issuer(tmp_path)}
    run = run_task(HonestHost(), issuers, {**WWW, "issuer": "odd"}, API)
    assert "'odd' did not answer in the agreed form" in str(failure(run)) and "'api'" not in str(failure(run))


@pytest.fixture
def collection(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of an issuer type ``acme.pki.corp``."""
    parts = "ansible_collections.acme.pki.plugins.sub_plugins.issuer.corp".split(".")
    for length in range(2, len(parts) + 1):
        name = ".".join(parts[:length])
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    yield sys.modules[".".join(parts)]


def test_loaded_by_full_name_and_contained(collection: Any, tmp_path: Path) -> None:
    collection.PROVIDER = breaking("trust", KeyError(SECRET))
    issuer = load_issuers({"theirs": {"type": "acme.pki.corp"}}, make_store(tmp_path))["theirs"]
    assert isinstance(issuer, CaIssuer)
    with pytest.raises(IssuerError, match="issuer 'theirs' broke"):
        issuer.trust()


@pytest.mark.parametrize("provider", ["text", object, object()])
def test_what_is_no_issuer(provider: Any, collection: Any, tmp_path: Path) -> None:
    collection.PROVIDER = provider
    with pytest.raises(SpecError, match="'acme.pki.corp' is not a valid issuer type: its PROVIDER is not an Issuer"):
        load_issuers({"theirs": {"type": "acme.pki.corp"}}, make_store(tmp_path))


def test_one_that_forgot_a_method(collection: Any, tmp_path: Path) -> None:
    class Half(Issuer):
        @classmethod
        def option_names(cls) -> tuple[str, ...]:
            return ()

    collection.PROVIDER = Half
    with pytest.raises(SpecError, match="'acme.pki.corp' is not a valid issuer type: it lacks issue, lifetime, trust"):
        load_issuers({"theirs": {"type": "acme.pki.corp"}}, make_store(tmp_path))


def test_one_that_does_not_say_what_it_can_do(collection: Any, tmp_path: Path) -> None:
    """Nobody would ever ask it for its advice."""
    collection.PROVIDER = type("Modest", (CaIssuer,), {"advice": lambda self, leaf, now: None})
    with pytest.raises(
        SpecError, match=r"not a valid issuer type: it has advice\(\) without being of class AdvisesRenewal"
    ):
        load_issuers({"theirs": {"type": "acme.pki.corp"}}, make_store(tmp_path))
