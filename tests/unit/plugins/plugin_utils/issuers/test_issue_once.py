# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    CertificateError,
    IssuerError,
    StoreError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.issue_once import issue_once
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_issuing, make_leaf, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import (
    LONGEST_FILE,
    parse_path_or_pem,
    read_file,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, to_pem
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_request, make_spec, make_store
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes

ROOT = make_root("Elsewhere", "ecdsa-p256", NOW, 1000 * DAY)
ISSUING = make_issuing("Elsewhere issuing", "ecdsa-p256", ROOT, NOW, 500 * DAY)


class Elsewhere(Issuer):
    """An issuer whose CA writes down in ``orders`` that it was asked."""

    orders: Path

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ()

    @property
    def lifetime(self) -> int:
        return 30 * 86400

    def trust(self) -> tuple[x509.Certificate, ...]:
        return (ROOT.certificate,)

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        return tuple(issue_once(self, request, now, partial(self.order, request, now)) for request in requests)

    def order(self, request: IssueRequest, now: dt.datetime) -> tuple[x509.Certificate, ...]:
        with self.orders.open("a") as stream:
            stream.write(f"{request.request_id}\n")
        leaf = make_leaf(request.csr.public_key(), request.names, request.usages, ISSUING, now, 30 * DAY)
        return leaf, ISSUING.certificate


def make(folder: Path) -> Elsewhere:
    issuer = Elsewhere("elsewhere", {}, make_store(folder / "store"))
    issuer.orders = folder / "orders"
    return issuer


def issued(answer: Issued | TlsError) -> Issued:
    assert isinstance(answer, Issued), str(answer)
    return answer


def test_once_and_again_when_it_is_half_used_up(tmp_path: Path) -> None:
    request = make_request()
    answers = [issued(make(tmp_path).issue([request], NOW + days * DAY)[0]) for days in (0, 14, 16)]
    assert [answer.reused for answer in answers] == [False, True, False]
    assert answers[0].chain == answers[1].chain != answers[2].chain
    assert (tmp_path / "orders").read_text().count("request-0001") == 2


def test_processes_at_once_order_once(tmp_path: Path) -> None:
    request = make_request()

    def work() -> str:
        return fingerprint(issued(make(tmp_path).issue([request], NOW)[0]).chain[0])

    assert len(set(in_processes([work] * 5))) == 1 and (tmp_path / "orders").read_text() == "request-0001\n"


def test_another_key_under_the_same_id_gets_its_own(tmp_path: Path) -> None:
    first, second = (issued(make(tmp_path).issue([make_request()], NOW)[0]) for _number in range(2))
    assert first.chain[0] != second.chain[0] and not second.reused


def test_what_cannot_be_used_is_no_answer_and_is_not_recorded(tmp_path: Path) -> None:
    issuer, request = make(tmp_path), make_request()
    other = make_request(make_spec(dns_names=["evil.example"]))
    assert isinstance(issue_once(issuer, request, NOW, lambda: issuer.order(other, NOW)), CertificateError)
    down = IssuerError("the line is dead")

    def fails() -> tuple[x509.Certificate, ...]:
        raise down

    assert issue_once(issuer, request, NOW, fails) is down
    assert list(issuer.store.issuances()) == []


def test_options_that_are_paths_or_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_path_or_pem("~/root.pem", "anchors") == str(tmp_path / "root.pem")
    assert parse_path_or_pem(to_pem(ROOT.certificate), "anchors") == to_pem(ROOT.certificate)
    (tmp_path / "big").write_bytes(b"x" * (LONGEST_FILE + 1))
    for path, words in (("big", "larger than 1 MiB"), ("none", "No such file"), ("", "Is a directory")):
        with pytest.raises(StoreError, match=words):
            read_file(str(tmp_path / path), "anchors")
