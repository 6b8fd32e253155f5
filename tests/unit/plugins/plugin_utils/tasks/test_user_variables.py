# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one list of variables, held against the specifications and playbooks that it is read from; and what is told of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.fleet.tls.plugins.plugin_utils.base.spelling import distance
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks import user_variables
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.user_variables import (
    JOINED,
    OF_PLAYS,
    Watch,
    known_variables,
    unread,
)

ROOT = Path(__file__).resolve().parents[5]
PLAYBOOKS = sorted(ROOT.glob("playbooks/**/*.yml"))
NAME = re.compile(r"(?<!\w)tls_[a-z]\w*[a-z0-9](?!\w)")
# Of the kit for AWX and the rulebook, which hand them to nothing of ours.
OF_KITS = ("tls_awx_", "tls_watch_")
# Of a play; Ansible reads them before it knows a host.
KEYWORDS = ("hosts", "serial", "max_fail_percentage")


def texts(value: Any) -> Iterator[str]:
    """All keys and texts of what a file has."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield str(name)
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    else:
        yield str(value)


def names_in(value: Any) -> set[str]:
    return {name for text in texts(value) for name in NAME.findall(text)}


def options() -> set[str]:
    """What the roles' specifications have as options."""
    specs = [yaml.safe_load(path.read_text()) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    entries = [entry for spec in specs for entry in spec["argument_specs"].values()]
    return {name for entry in entries for name in entry.get("options") or {} if name.startswith("tls_")}


def read_by_playbooks() -> set[str]:
    """What the playbooks' own templates and conditions read, comments left out."""
    return {name for path in PLAYBOOKS for name in names_in(yaml.safe_load(path.read_text()))}


def test_the_list_is_what_specifications_and_playbooks_have_and_words_name_nothing_else() -> None:
    assert options() | read_by_playbooks() == known_variables()
    assert "tls_trust_" not in known_variables()
    assert {"tls_certificates", "tls_adopt_issuer", "tls_publish_ca_listen", "tls_check_threshold"} <= known_variables()


def test_what_roles_read_is_in_the_list() -> None:
    files = [path for path in ROOT.glob("roles/*/*/*") if path.suffix in (".yml", ".j2") and path.parent.name != "meta"]
    assert {name for path in files for name in NAME.findall(path.read_text())} <= known_variables()


def test_what_documentation_and_examples_give_is_in_the_list() -> None:
    """A name at the beginning of a line is one that somebody sets."""
    given = re.compile(r"^\s*(tls_[a-z]\w*):", re.MULTILINE)
    pages = [
        *ROOT.glob("docs/**/*.md"),
        ROOT / "README.md",
        *ROOT.glob("examples/**/*.yml"),
        *ROOT.glob("roles/*/README.md"),
    ]
    found = {name for path in pages for name in given.findall(path.read_text()) if not name.startswith(OF_KITS)}
    parts = {name for name in found if name.startswith(tuple(f"{each}_" for each in JOINED))}
    assert found - parts <= known_variables()


def test_what_plays_read_before_there_is_a_host_is_what_is_warned_of() -> None:
    plays = [play for path in PLAYBOOKS for play in yaml.safe_load(path.read_text())]
    keywords = {name for play in plays for keyword in KEYWORDS for name in names_in(play.get(keyword))}
    given = {
        name for play in plays for word in KEYWORDS for name in names_in((play.get("vars") or {}).get(f"tls_{word}"))
    }
    assert keywords | given == set(OF_PLAYS)


def told(monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...] = (), **variables: Any) -> dict[str, str]:
    monkeypatch.setattr(user_variables, "extra_variables", lambda: extra)
    return unread(variables, lambda: variables)


@pytest.mark.parametrize(
    ("written", "known"),
    [("tls_certificate", "tls_certificates"), ("tls_isuers", "tls_issuers"), ("tls_adopt_isuer", "tls_adopt_issuer")],
)
def test_a_slip(monkeypatch: pytest.MonkeyPatch, written: str, known: str) -> None:
    found = told(monkeypatch, **{written: []})
    assert found == {written: f"{written} is no variable of fleet.tls and is not read. Did you mean {known}?"}


@pytest.mark.parametrize(
    "mine",
    [
        {"tls_certificates": [], "tls_store": {}, "fleet_tls_hosts": "web"},
        {"tls_contact": "me@example.com", "tls_ports": [443], "tls_ca_bundle": "/etc/ca.pem"},
        # Near a name of ours, and used.
        {"tls_certificate": "www", "tls_certificates": [{"name": "{{ tls_certificate }}"}]},
        {"tls_site": "www", "app_url": "https://{{ tls_site }}/"},
        # Of a user's own, near nothing, that begins as a list of ours does.
        {"tls_certificates_path": "/etc/x"},
        {"tls_certificates_web": [{"name": "www"}], "tls_certificates": "{{ tls_certificates_web }}"},
        {
            "tls_certificates_web": [{"name": "a"}],
            "tls_certificates": "{{ lookup('fleet.tls.joined', 'tls_certificates') }}",
        },
        # Joined in other ways.
        {
            "tls_certificates_web": [{"name": "a"}],
            "tls_certificates": "{{ query('varnames', '^tls_certificates_.+') | map('extract', vars) | flatten }}",
        },
        {
            "tls_sites_web": [{"name": "a"}],
            "all_of_them": "{{ query('varnames', '_web$') | map('extract', vars) | flatten }}",
            "tls_sites": "{{ all_of_them }}",
        },
        {
            "tls_certificates_web": [{"name": "a"}],
            "tls_certificates": "{{ lookup('ansible.builtin.vars', 'tls_certificates_' ~ part) }}",
        },
        {"tls_clients_1": "{{ mine }}", "tls_clients": "{{ lookup('fleet.tls.joined', 'tls_clients') }}"},
    ],
)
def test_what_is_known_used_or_far_from_ours_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, mine: dict[str, Any]
) -> None:
    assert told(monkeypatch, **mine) == {}


def test_what_a_play_uses_is_left_alone() -> None:
    written = {"tls_certificates_web": [{"name": "www"}], "tls_certificate": "www"}
    play = {"tls_certificates": "{{ tls_certificates_web }}", "title": "{{ tls_certificate }}"}
    assert unread({**written, **play}, lambda: written) == {}
    assert len(unread(written, lambda: written)) == 2


def test_a_part_that_nobody_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, tls_certificates_web=[{"name": "www"}], tls_certificates=[])
    assert list(found) == ["tls_certificates_web"]
    line = """tls_certificates: "{{ lookup('fleet.tls.joined', 'tls_certificates') }}\""""
    assert found["tls_certificates_web"].endswith(f"If it is a part of tls_certificates, set for all hosts: {line}")


@pytest.mark.parametrize("name", OF_PLAYS)
def test_what_only_a_play_reads(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert "-e" in told(monkeypatch, **{name: 1})[name]
    assert told(monkeypatch, (name,), **{name: 1}) == {}
    # From a playbook that imports ours: a task sees it, and the inventory does not have it.
    assert unread({name: 1}, lambda: {}) == {}


def test_no_two_variables_are_so_near_that_a_slip_makes_one_of_the_other_unseen() -> None:
    """Those that are, are told apart by a plural; a new one of them wants a thought."""
    known = sorted(known_variables())
    near = {(one, other) for one in known for other in known if one < other and distance(one, other, 1) == 1}
    assert near == {("tls_adopt_path", "tls_adopt_paths")}


def test_a_watch_over_many_hosts_looks_at_a_name_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(user_variables, "warn", said.extend)
    monkeypatch.setattr(user_variables, "extra_variables", lambda: ())
    watch = Watch()
    for number in range(3):
        watch.over(
            {"tls_certificate": [], "tls_certificates": [], "tls_mine": 1, **({"tls_serial": 1} if number else {})}
        )
    # Not for the third host, which has nothing new; what is said twice is shown once.
    assert said == ["tls_certificate", "tls_serial", "tls_certificate"]
