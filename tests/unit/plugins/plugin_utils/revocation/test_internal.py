# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import REASONS, serials
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, serial_text
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import parse_which, revoke
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.command import CommandIssuer
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_request


def issue(issuer: CaIssuer, count: int = 1) -> list[Any]:
    requests = [make_request(request_id=f"request-{number:04}") for number in range(count)]
    return [answer.chain[0] for answer in issuer.issue(requests, NOW) if isinstance(answer, Issued)]


def colons(text: str) -> str:
    return ":".join(text[place : place + 2] for place in range(0, len(text), 2)).upper()


@pytest.mark.parametrize(
    "form", [lambda leaf: serial_text(leaf.serial_number), fingerprint, lambda leaf: colons(fingerprint(leaf))]
)
def test_by_serial_number_and_by_fingerprint(form: Any, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    leaf, other = issue(issuer, 2)
    done = revoke({"internal": issuer}, issuer.store, [form(leaf)], "superseded", NOW)
    (row,) = done.revocations
    assert (row.issuance.fingerprint, row.reason, row.revoked_at) == (
        fingerprint(leaf), "superseded", int(NOW.timestamp())
    )  # fmt: skip
    assert {serial for crl in done.crls for serial in serials(crl)} == {serial_text(leaf.serial_number)}
    assert list(issuer.store.revocations("internal")) == [row] and done.warnings == ()
    assert serial_text(other.serial_number) != row.issuance.serial


def test_the_first_record_stands(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    (leaf,) = issue(issuer)
    first = revoke({"internal": issuer}, issuer.store, [fingerprint(leaf)], "superseded", NOW)
    again = revoke({"internal": issuer}, issuer.store, [fingerprint(leaf)], "key_compromise", NOW + DAY)
    assert again == first


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_reasons(reason: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    (leaf,) = issue(issuer)
    assert revoke({"internal": issuer}, issuer.store, [fingerprint(leaf)], reason, NOW).revocations[0].reason == reason


def elsewhere(name: str, options: Any, store: Any) -> Issuer:
    """An issuer whose CA keeps its own CRLs."""
    return CommandIssuer(name, {"command": ["/bin/false"], "anchors": "/nowhere"}, store)


@pytest.mark.parametrize(
    ("which", "reason", "issuers", "words"),
    [
        ("00ff", "superseded", CaIssuer, "knows no certificate with the serial number or fingerprint ff"),
        ("www", "superseded", CaIssuer, "'www' is neither a serial number nor a fingerprint"),
        (None, "certificate_hold", CaIssuer, "reason: 'certificate_hold' is unknown"),
        (None, "superseded", None, "from the issuer 'internal', which is not among the issuers"),
        (None, "superseded", elsewhere, "which keeps no CRL here"),
    ],
)
def test_what_cannot_be_revoked_revokes_nothing(
    which: str | None, reason: str, issuers: Any, words: str, tmp_path: Path
) -> None:
    issuer = make_issuer(tmp_path)
    first, second = issue(issuer, 2)
    known = {"internal": issuers("internal", {}, issuer.store)} if issuers else {}
    with pytest.raises(SpecError, match=words) as caught:
        revoke(known, issuer.store, [fingerprint(first), which or fingerprint(second)], reason, NOW)
    assert caught.value.remedy and not list(issuer.store.revocations("internal"))


@pytest.mark.parametrize(
    ("text", "plain"), [("00:AB", "ab"), ("0xAB", "ab"), (" ab\n", "ab"), ("0", "0"), ("0" + "a" * 63, "0" + "a" * 63)]
)
def test_forms(text: str, plain: str) -> None:
    assert parse_which(text) == plain
