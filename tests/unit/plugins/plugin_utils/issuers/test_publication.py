# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What issuers let clients fetch, as files of a host: which there are, what is in them, and which go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.module_utils.files.batch import parse_wanted
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.publication import published_files
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_der
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_store

BOTH = {"cross_certificates": True}


def files_of(
    issuer: CaIssuer, *, chosen: bool = True, now: Any = NOW, renew: bool = True
) -> tuple[dict[str, bytes | None], bool]:
    """Name → content; None: it goes. And whether a run that renews would have others."""
    files, due = published_files({"internal": issuer}, ["internal"] if chosen else [], "/srv/ca", now, renew=renew)
    wanted = [parse_wanted(each) for each in files]
    assert all(each.path.startswith("/srv/ca/internal-") and each.mode == "0644" for each in wanted)
    return {each.path.removeprefix("/srv/ca/internal-"): each.content for each in wanted}, due


def test_a_list_and_a_certificate_of_each_ca(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    assert files_of(issuer) == ({}, False)
    issuer.prepare(NOW)
    files, due = files_of(issuer)
    assert sorted(files) == ["issuing-1.crl", "issuing-1.crt", "root-1.crl", "root-1.crt"] and not due
    for name, ca in issuer.authorities().items():
        crl = x509.load_der_x509_crl(files[f"{name}.crl"] or b"")
        assert files[f"{name}.crt"] == to_der(ca) and crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
    assert set(files_of(issuer, chosen=False)[0].values()) == {None}


def test_a_list_that_is_due_is_signed_first(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    later = NOW + 5 * DAY
    before = files_of(make_issuer(tmp_path, passphrase=None))[0]["issuing-1.crl"]
    # Without the passphrase it stays as it is, and in check mode a run is foreseen.
    assert files_of(make_issuer(tmp_path, passphrase=None), now=later)[0]["issuing-1.crl"] == before
    assert files_of(make_issuer(tmp_path), now=later, renew=False) == (files_of(make_issuer(tmp_path))[0], True)
    files, due = files_of(make_issuer(tmp_path), now=later)
    assert files["issuing-1.crl"] != before and not due
    assert x509.load_der_x509_crl(files["issuing-1.crl"] or b"").next_update_utc == later + 7 * DAY


def test_what_has_ended_goes_and_a_cross_certificate_comes(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, **BOTH)
    issuer.prepare(NOW)
    issuer.rollover().prepare("root-2", NOW)
    issuer.rollover().activate()
    files, _due = files_of(issuer)
    assert None not in files.values() and {"root-1.crl", "root-2.crl", "root-2-by-root-1.crt", "issuing-2.crt"} <= set(
        files
    )
    issuer.rollover().retire()
    files, _due = files_of(make_issuer(tmp_path, **BOTH))
    assert files["root-1.crl"] is None is files["issuing-1.crt"] and files["root-2-by-root-1.crt"]
    files, _due = files_of(make_issuer(tmp_path))
    assert "root-2-by-root-1.crt" not in files


def test_issuers_that_have_nothing_to_be_fetched(tmp_path: Path) -> None:
    command = {"type": "command", "command": ["/bin/true"], "anchors": "/etc/anchors.pem"}
    issuers = load_issuers({"internal": {"type": "ca"}, "files": command}, make_store(tmp_path))
    with pytest.raises(SpecError, match="'files' is not one of our CAs"):
        published_files(issuers, ["files"], "/srv", NOW, renew=False)
    with pytest.raises(SpecError, match="'interna' is unknown"):
        published_files(issuers, ["interna"], "/srv", NOW, renew=False)
