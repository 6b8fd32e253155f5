# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs as issuers: a real CA of openssl's behind a script, and all the ways in which such a program goes wrong."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.issuing import answers_of, check_answer
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, names_of
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.command import CommandIssuer
from ansible_collections.fleet.tls.tests.unit.support.openssl_ca import OpensslCa
from ansible_collections.fleet.tls.tests.unit.support.pki import make_request, make_spec, make_store


def now() -> dt.datetime:
    """This moment, which is after the CA was made."""
    return dt.datetime.now(dt.timezone.utc)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> OpensslCa:
    return OpensslCa(tmp_path_factory.mktemp("ca"))


def make(store: Path, ca: OpensslCa, **options: Any) -> CommandIssuer:
    return CommandIssuer(
        "ours", {"command": ca.command(), "anchors": ca.root.read_text(), **options}, make_store(store)
    )


def issue(issuer: CommandIssuer, **request: Any) -> Issued | TlsError:
    """One request's answer, as the flow takes it."""
    wanted = make_request(**request)
    (answer,) = answers_of(issuer, [wanted], now())
    if isinstance(answer, Issued):
        check_answer(issuer, wanted, answer, now())
    return answer


def error_of(answer: Issued | TlsError) -> str:
    assert isinstance(answer, TlsError)
    return str(answer)


def test_a_certificate(tmp_path: Path, ca: OpensslCa) -> None:
    issuer = make(tmp_path, ca, duration="10d")
    spec = make_spec(dns_names=["a.example", "b.example"], ip_addresses=["192.0.2.1"], usages=["client_auth"])
    answer = issue(issuer, spec=spec)
    assert isinstance(answer, Issued) and not answer.reused and answer.private_key is None
    leaf, issuing = answer.chain
    assert names_of(leaf).sans() == spec.names.sans()
    (row,) = issuer.store.issuances()
    assert (row.issuer, row.host, row.certificate, row.fingerprint) == ("ours", "web1", "www", fingerprint(leaf))
    assert issuer.lifetime == 10 * 86400 and fingerprint(issuer.trust()[0]) == fingerprint(ca.root_certificate)


def test_what_the_program_is_told(tmp_path: Path, ca: OpensslCa) -> None:
    spec = make_spec(
        dns_names=["a.example", "*.b.example"], ip_addresses=["192.0.2.1", "2001:db8::1"], uris=["spiffe://x/y"],
        email_addresses=["me@example.com"], common_name="A Name", usages=["client_auth", "server_auth"], duration="2d",
    )  # fmt: skip
    issue(make(tmp_path, ca, environment={"CA_TOKEN": "s3cret"}), spec=spec)
    told = ca.told()
    expected = {
        "FLEET_TLS_REQUEST_ID": "request-0001",
        "FLEET_TLS_HOST": "web1",
        "FLEET_TLS_CERTIFICATE": "www",
        "FLEET_TLS_DNS_NAMES": "*.b.example a.example",
        "FLEET_TLS_IP_ADDRESSES": "192.0.2.1 2001:db8::1",
        "FLEET_TLS_URIS": "spiffe://x/y",
        "FLEET_TLS_EMAIL_ADDRESSES": "me@example.com",
        "FLEET_TLS_COMMON_NAME": "A Name",
        "FLEET_TLS_USAGES": "client_auth server_auth",
        "FLEET_TLS_DURATION": "172800",
        "FLEET_TLS_REASON": "missing",
    }
    assert {name: told[name] for name in expected} == expected
    assert told["CA_TOKEN"] == "s3cret" and told["PATH"] == os.environ["PATH"]


def test_of_an_untidy_answer_the_path_is_taken(tmp_path: Path, ca: OpensslCa) -> None:
    answer = issue(make(tmp_path, ca, command=ca.command("untidy")))
    assert isinstance(answer, Issued)
    leaf, issuing = answer.chain
    assert issuing.public_bytes(serialization.Encoding.PEM) == (ca.folder / "issuing.pem").read_bytes()
    assert names_of(leaf).sans() == make_request().names.sans()


def test_the_same_request_is_ordered_once(tmp_path: Path, ca: OpensslCa) -> None:
    wanted, before = make_request(), ca.orders()
    first, second = (make(tmp_path, ca).issue([wanted], now())[0] for _run in range(2))
    assert isinstance(first, Issued) and isinstance(second, Issued)
    assert second.reused and second.chain == first.chain and ca.orders() == before + 1
    assert isinstance(issue(make(tmp_path, ca), request_id="request-0002"), Issued) and ca.orders() == before + 2


def test_a_ca_that_dates_nothing_back(tmp_path: Path, ca: OpensslCa) -> None:
    """Its certificates begin after the run did, and those of another run after this one began."""
    wanted = make_request()
    begun = dt.datetime.now(dt.timezone.utc)
    first = make(tmp_path, ca, command=ca.command("undated")).issue([wanted], begun)[0]
    assert isinstance(first, Issued), str(first)
    assert first.chain[0].not_valid_before_utc > begun
    time.sleep(2)
    second = make(tmp_path, ca).issue([wanted], dt.datetime.now(dt.timezone.utc))[0]
    assert isinstance(second, Issued) and second.reused


def test_one_that_fails_costs_no_other(tmp_path: Path, ca: OpensslCa) -> None:
    issuer = make(tmp_path, ca, command=ca.command("refuses-api"))
    requests = [make_request(make_spec(name), request_id=f"request-{name}") for name in ("www", "api", "db")]
    answers = issuer.issue(requests, now())
    assert [isinstance(answer, Issued) for answer in answers] == [True, False, True]


BAD: dict[str, tuple[str, ...]] = {
    "fails": ("ended with 7: out of coffee", "is meant for you"),
    "killed": ("was ended by signal 9 and said nothing of why",),
    "sleeps": ("was not done in 1 s; it said: still waiting",),
    "nonsense": ("not a complete PEM certificate",),
    "nothing": ("not a complete PEM certificate (truncated or empty)",),
    "truncated": ("not a complete PEM certificate (truncated or empty)",),
    "endless": ("wrote more than 256 KiB",),
    "another-key": ("answered with a certificate for another key",),
    "other-names": ("answered with other names (evil.example) than asked for (www.example.com)",),
    "more-names": ("answered with other names (evil.example, www.example.com)",),
    "an-administrator": ("the common name 'db-admin', which was not asked for",),
    "no-usage": ("left out the usage server_auth",),
    "expired": ("not valid now",),
    "not-yet-valid": ("not valid now",),
    "out-of-order": ("answered with a certificate for another key",),
    "without-intermediate": ("does not lead to a trust anchor",),
    "stranger": ("does not lead to a trust anchor",),
}


@pytest.mark.parametrize("mode", BAD)
def test_whatever_goes_wrong_is_refused_and_not_recorded(mode: str, tmp_path: Path, ca: OpensslCa) -> None:
    timeout = "1s" if mode == "sleeps" else "60s"
    issuer = make(tmp_path, ca, command=ca.command(mode), timeout=timeout)
    words = error_of(issue(issuer))
    for part in BAD[mode]:
        assert part in words
    assert list(issuer.store.issuances()) == []
    assert isinstance(issue(make(tmp_path, ca)), Issued)


def test_words_tell_no_secret_and_play_no_tricks(tmp_path: Path, ca: OpensslCa) -> None:
    words = error_of(
        issue(make(tmp_path, ca, command=ca.command("blurts"), environment={"CA_TOKEN": "t0ken-of-mine", "X": "1"}))
    )
    assert "ended with 1: my token is *** and this is red" in words
    assert "t0ken" not in words and "\x1b" not in words and words.isprintable()


def test_a_program_that_is_not_there(tmp_path: Path, ca: OpensslCa) -> None:
    words = error_of(issue(make(tmp_path, ca, command=["/no/such/ca"])))
    assert "'ca' cannot be started: No such file or directory" in words


def test_anchors_from_a_file(tmp_path: Path, ca: OpensslCa) -> None:
    copy = tmp_path / "root.pem"
    shutil.copy(ca.root, copy)
    issuer = make(tmp_path / "store", ca, anchors=str(copy))
    assert isinstance(issue(issuer), Issued)
    copy.unlink()
    with pytest.raises(TlsError, match=r"cannot read .*root.pem on the controller: No such file"):
        issuer.trust()


def test_anchors_that_are_none(tmp_path: Path, ca: OpensslCa) -> None:
    answer = issue(make(tmp_path, ca))
    assert isinstance(answer, Issued)
    leaf = ca.folder / "leaf.pem"
    leaf.write_bytes(ca.last_leaf())
    with pytest.raises(TlsError, match="is not a CA certificate"):
        make(tmp_path, ca, anchors=str(leaf)).trust()


def test_revoke(tmp_path: Path, ca: OpensslCa) -> None:
    issuer = make(tmp_path, ca, revoke=ca.command("revokes"))
    answer = issue(issuer)
    assert isinstance(answer, Issued)
    issuer.revoke(answer.chain[0], "keyCompromise", now())
    told = ca.told()
    assert told["FLEET_TLS_FINGERPRINT"] == fingerprint(answer.chain[0]) and told["FLEET_TLS_REASON"] == "keyCompromise"
    assert fingerprint(ca.revoked()) == fingerprint(answer.chain[0])
    with pytest.raises(IssuerError, match="ended with 7: out of coffee"):
        make(tmp_path, ca, revoke=ca.command("fails")).revoke(answer.chain[0], "superseded", now())
    with pytest.raises(IssuerError, match="'ours' has no way to revoke"):
        make(tmp_path, ca).revoke(answer.chain[0], "superseded", now())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": []}, "command is missing"),
        ({"command": None}, "command is missing"),
        ({"command": "/bin/ca --sign"}, "command must be a list"),
        ({"command": ["./ca"]}, "depends on the current directory"),
        ({"command": ["bin/ca"]}, "depends on the current directory"),
        ({"revoke": "x"}, "revoke must be a list"),
        ({"anchors": None}, "anchors is missing"),
        ({"anchors": "root.pem"}, "neither a PEM text nor the absolute path"),
        ({"environment": ["A=1"]}, "environment must be a mapping"),
        ({"environment": {"FLEET_TLS_HOST": "x"}}, "is not a valid name for a variable"),
        ({"environment": {"A=B": "x"}}, "is not a valid name for a variable"),
        ({"timeout": "5"}, "timeout: '5' is not a duration"),
        ({"duration": "x"}, "duration: 'x'"),
        ({"comand": ["x"]}, "unknown option 'comand'"),
    ],
)
def test_options_refused(options: Mapping[str, Any], words: str, tmp_path: Path, ca: OpensslCa) -> None:
    with pytest.raises(SpecError) as caught:
        make(tmp_path, ca, **options)
    assert caught.value.message.startswith("issuer 'ours': ") and words in caught.value.message and caught.value.remedy
