# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A root that a real PKI engine keeps, below which issuer ``ca`` has its issuing CA."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import facts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.pki import make_issuer, make_request, make_spec
from bao.mounts import Mount, make_mount
from bao.policies import ROOT_SIGNER, allow
from bao.server import DAY, Cluster


def now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def root_of(mount: Mount, cluster: Cluster, policy: str = ROOT_SIGNER, **changes: Any) -> dict[str, Any]:
    """The option ``root``, with a token that has no more rights than the docs give."""
    token = cluster.token(allow(cluster, f"{mount.path}-root", policy.replace('"pki/', f'"{mount.path}/')))
    certificate = mount.root.read(f"{mount.path}/cert/ca")["data"]["certificate"]
    return {"certificate": certificate, "openbao": {**cluster.options(token), "mount": mount.path, **changes}}


def chain_of(issuer: CaIssuer, moment: dt.datetime) -> tuple[x509.Certificate, ...]:
    """A certificate of a host, and what is above it."""
    (issued,) = issuer.issue([make_request(make_spec())], moment)
    assert isinstance(issued, Issued), issued
    return issued.chain


@pytest.mark.parametrize("issuer_ref", [None, "first"])
def test_it_signs_the_issuing_ca_by_itself_and_the_next_one_in_time(
    issuer_ref: str | None, cluster: Cluster, tmp_path: Path
) -> None:
    mount = make_mount(cluster)
    # Its root lives for 125 days: what is asked for longer is cut to that.
    options = {"duration": "10d", "issuing_duration": "60d", "root": root_of(mount, cluster, issuer_ref=issuer_ref)}
    moment = now()
    assert "are made for an issuing CA" in str(make_issuer(tmp_path, **options).unprepared(moment))
    make_issuer(tmp_path, **options).prepare(moment)
    issuer = make_issuer(tmp_path, **options)
    assert issuer.unprepared(moment) is None and issuer.waits_for(moment) is None
    chain = chain_of(issuer, moment)
    check_chain(chain, issuer.trust(), moment)
    facts = facts_of(chain[1])
    assert (facts.ca, facts.path_length, facts.key_usage.crl_sign) == (True, 0, True)
    assert abs(chain[1].not_valid_after_utc - (moment + 60 * DAY)) < dt.timedelta(minutes=10)
    assert chain[1].subject.rfc4514_string() == f"CN=internal CA Issuing {moment:%Y-%m}"
    # The server goes by its own clock: what it signs then ends when the first one does.
    later = moment + 45 * DAY
    assert "OpenBao signs the next one" in str(issuer.unprepared(later))
    make_issuer(tmp_path, **options).prepare(later)
    state = issuer.state()
    assert state is not None and (state.root, state.issuing) == ("root-1", "issuing-2")


def test_one_that_may_not_sign_says_so(cluster: Cluster, tmp_path: Path) -> None:
    mount = make_mount(cluster)
    options = {"root": root_of(mount, cluster, 'path "pki/none" { capabilities = ["update"] }'), "duration": "10d"}
    with pytest.raises(IssuerError, match="OpenBao at https://"):
        make_issuer(tmp_path, **options).prepare(now())
    # What was begun is gone on with when it may.
    wanted = make_issuer(tmp_path, **options).signature_wanted(now())
    assert wanted and "the next run of fleet.tls.deploy has it signed" in wanted.remedy
    allowed = {**options, "root": root_of(mount, cluster)}
    make_issuer(tmp_path, **allowed).prepare(now())
    assert len(chain_of(make_issuer(tmp_path, **allowed), now())) == 2


def test_another_root_than_the_one_that_is_named(cluster: Cluster, tmp_path: Path) -> None:
    mount, other = make_mount(cluster), make_mount(cluster)
    root = {**root_of(mount, cluster), "certificate": root_of(other, cluster)["certificate"]}
    with pytest.raises(Exception, match="what OpenBao signed: .* is not signed by the root 'CN=Test Root'"):
        make_issuer(tmp_path, root=root, duration="10d").prepare(now())
