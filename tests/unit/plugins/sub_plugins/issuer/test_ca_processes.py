# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CA under the forks of a playbook run, two runs at once, and kills."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, parse_pem_chain
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, make_issuer, make_request, make_spec
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes, killed_after, killed_at


def issue(path: Path, *requests: IssueRequest) -> list[str]:
    """The fingerprints of what comes."""
    answers = make_issuer(path).issue(requests, NOW)
    assert all(isinstance(answer, Issued) for answer in answers), answers
    return [fingerprint(answer.chain[0]) for answer in answers if isinstance(answer, Issued)]


def requests_of(host: str, count: int = 1) -> list[IssueRequest]:
    return [
        make_request(make_spec(f"c{number}"), request_id=f"{host}-{number:08}", host=host) for number in range(count)
    ]


def check(path: Path) -> None:
    """One CA, whole; every row of the ledger leads to its root, none twice."""
    issuer = make_issuer(path)
    rows = list(issuer.store.issuances())
    assert len({(row.request_id, row.key_id) for row in rows}) == len(rows) == len({row.serial for row in rows})
    for row in rows:
        check_chain(parse_pem_chain(row.chain), issuer.trust(), NOW)
    authority = issuer.authority("root-1")
    assert authority.certificate == issuer.trust()[0]


def test_sixteen_forks_at_once_on_a_fresh_store(tmp_path: Path) -> None:
    works = [lambda host=f"web{number}": issue(tmp_path, *requests_of(host, 3)) for number in range(16)]
    fingerprints = [each for answer in in_processes(works) for each in answer]
    assert len(set(fingerprints)) == 48
    check(tmp_path)
    assert len(list(make_issuer(tmp_path).store.issuances())) == 48
    assert {path.name for path in (tmp_path / "ca/internal").iterdir()} == {
        "ca.json", "issued.json", "root-1.pem", "root-1.key", "issuing-1.pem", "issuing-1.key", "root-1.crl", "issuing-1.crl"
    }  # fmt: skip


def test_two_runs_with_the_same_requests_get_the_same_certificates(tmp_path: Path) -> None:
    requests = requests_of("web1", 4)
    answers = in_processes([lambda: issue(tmp_path, *requests)] * 6)
    assert all(answer == answers[0] for answer in answers)
    assert len(list(make_issuer(tmp_path).store.issuances())) == 4


def test_a_run_that_is_killed_at_any_file_while_the_ca_is_made(tmp_path: Path) -> None:
    (request,) = requests_of("web1")
    number = 0
    while True:
        number += 1
        path = tmp_path / str(number)
        killed = killed_at(lambda: issue(path, request), number)  # noqa: B023
        trusted = make_issuer(path).trust()
        first = issue(path, request)
        # Once there is a root that a trust store could have got, it stays.
        assert not trusted or make_issuer(path).trust() == trusted
        assert issue(path, request) == first
        check(path)
        assert not list(path.rglob(".new-*"))
        if not killed:
            break
    assert number > 40


@pytest.mark.parametrize("seed", range(4))
def test_runs_that_are_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    keys = [generate_key("ecdsa-p256") for _each in range(3)]
    requests = [
        make_request(make_spec(f"c{number}"), request_id=f"request-{number:04}", key=key)
        for number, key in enumerate(keys)
    ]
    # The first at once: it cannot be through by then, however slowly this process comes to kill it.
    moments = [0.0, *(0.004 * (step * 4 + seed) for step in range(12))]
    killed = [killed_after(lambda: issue(tmp_path, *requests), moment) for moment in moments]
    fingerprints = issue(tmp_path, *requests)
    assert any(killed) and issue(tmp_path, *requests) == fingerprints
    check(tmp_path)
    assert len(list(make_issuer(tmp_path).store.issuances())) == 3
