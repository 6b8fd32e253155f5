# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The issuer with a real PKI engine, its anchors and its ways to log in; the store is a directory."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hvac
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, IssuerError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.csr import parse_csr
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao import anchors as openbao_anchors
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    authority_builder,
    key_identifier_of,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    Names,
    names_of,
    serial_text,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.openbao import OpenBaoIssuer
from ansible_collections.fleet.tls.tests.unit.support.pki import make_request, make_spec, make_store
from bao.mounts import Mount, empty_mount, make_intermediate, make_mount
from bao.proxy import LOSE, PASS, REFUSE, proxied
from bao.server import DAY, Cluster, until, write_pair

NOWHERE = "https://127.0.0.1:9"
Open = Callable[..., OpenBaoIssuer]


def now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


@pytest.fixture
def mount(cluster: Cluster) -> Mount:
    return make_mount(cluster)


@pytest.fixture
def open_issuer(tmp_path: Path) -> Open:
    """An issuer of a mount, in a store of the test's own, as every run opens it anew."""

    def work(mount: Mount, token: str | None = None, **changes: Any) -> OpenBaoIssuer:
        return OpenBaoIssuer("bao", mount.options(token, **changes), make_store(tmp_path / "store"))

    return work


def issue(issuer: OpenBaoIssuer, *requests: IssueRequest) -> list[Issued]:
    answers = issuer.issue(requests or (make_request(),), now())
    assert all(isinstance(answer, Issued) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Issued)]


def refusal(issuer: OpenBaoIssuer, *requests: IssueRequest) -> str:
    """Why nothing was issued; there is always something to do about it."""
    try:
        (error,) = issuer.issue(requests or (make_request(),), now())
    except TlsError as raised:
        error = raised
    assert isinstance(error, CertificateError) or (isinstance(error, TlsError) and error.remedy), error
    return str(error)


@pytest.mark.parametrize("csr_sans", [True, False])
def test_names_usages_and_ledger(csr_sans: bool, cluster: Cluster, open_issuer: Open) -> None:
    mount = make_mount(cluster, {"use_csr_sans": csr_sans})
    fields = {
        "dns_names": ["b.example.com", "a.example.com"],
        "ip_addresses": ["192.0.2.7"],
        "uris": ["spiffe://example.com/x"],
    }
    spec = make_spec(usages=["server_auth", "client_auth"], duration="7d", **fields)
    issuer = open_issuer(mount)
    (issued,) = issue(issuer, make_request(spec, host="web7"))
    check_chain(issued.chain, issuer.trust(), now())
    assert names_of(issued.chain[0]).sans() == spec.names.sans() and len(issued.chain) == 1
    lifetime = issued.chain[0].not_valid_after_utc - now()
    assert dt.timedelta(days=6, hours=23) < lifetime <= 7 * DAY
    (row,) = issuer.store.issuances()
    assert (row.issuer, row.host, row.serial) == ("bao", "web7", serial_text(issued.chain[0].serial_number))
    assert row.serial in [serial.replace(":", "").lstrip("0") for serial in mount.serials()]


def test_an_ip_address_alone_and_a_common_name(mount: Mount, open_issuer: Open) -> None:
    for number, spec in enumerate(
        (make_spec(ip_addresses=["192.0.2.7"]), make_spec(dns_names=["a.example.com"], common_name="a.example.com"))
    ):
        (issued,) = issue(open_issuer(mount), make_request(spec, request_id=f"request-{number:04}"))
        assert names_of(issued.chain[0]).sans() == spec.names.sans()


def test_the_same_request_is_signed_once(mount: Mount, open_issuer: Open) -> None:
    request = make_request()
    (first,) = issue(open_issuer(mount), request)
    signed = mount.serials()
    assert issue(open_issuer(mount), request) == [Issued(first.chain, reused=True)]
    assert mount.serials() == signed


def test_a_run_that_was_killed_before_it_recorded(mount: Mount, open_issuer: Open) -> None:
    """One certificate more in OpenBao, of the same key and names; what is recorded and installed is one."""
    request, issuer = make_request(), open_issuer(mount)
    (lost,) = [issuer.order(request)]
    (issued,) = issue(open_issuer(mount), request)
    assert issued.chain[0] != lost[0] and issued.chain[0].public_key() == lost[0].public_key()
    assert names_of(issued.chain[0]) == names_of(lost[0])
    assert [row.serial for row in issuer.store.issuances()] == [serial_text(issued.chain[0].serial_number)]
    assert issue(open_issuer(mount), request) == [Issued(issued.chain, reused=True)]


def test_an_intermediate_whose_root_is_elsewhere(cluster: Cluster, open_issuer: Open, tmp_path: Path) -> None:
    mount, root = make_intermediate(cluster)
    words = refusal(open_issuer(mount))
    assert "does not have the root of 'CN=Test Issuing'" in words and "or set root" in words
    (tmp_path / "root.pem").write_text(root)
    for option in (root, str(tmp_path / "root.pem")):
        issuer = open_issuer(mount, root=option)
        (issued,) = issue(issuer)
        assert [to_pem(each) for each in issuer.trust()] == [root.strip() + "\n"]
        assert [each.subject.rfc4514_string() for each in issued.chain[1:]] == ["CN=Test Issuing"]
        assert len(issuer.authorities()) == 2
    mount.write("issuers/import/cert", pem_bundle=root)
    assert len(open_issuer(mount).trust()) == 1


def test_a_cross_signed_twin_of_an_issuer(mount: Mount, open_issuer: Open) -> None:
    """OpenBao's documented rotation: the new root is there by itself, and signed by an old one that the mount does not have."""
    (root,) = (
        x509.load_pem_x509_certificate(mount.root.read(f"{mount.path}/cert/ca")["data"]["certificate"].encode()),
    )
    old = make_root("Old Root", "ecdsa-p256", now(), 100 * DAY)
    builder = authority_builder(
        root.subject, root.public_key(), old.certificate.subject, key_identifier_of(old.certificate), path_length=1
    )
    cross = (
        builder.not_valid_before(now() - DAY).not_valid_after(now() + 90 * DAY).sign(old.private_key, hashes.SHA256())
    )
    imported = mount.write("issuers/import/cert", pem_bundle=to_pem(cross))["imported_issuers"]
    assert imported
    issuer = open_issuer(mount)
    (issued,) = issue(issuer)
    assert issuer.trust() == (root,) and issued.chain[0].issuer == root.subject
    # And the twin as the one that signs: the path that is installed leads to the root all the same.
    twin = open_issuer(mount, issuer_ref=imported[0])
    (issued,) = issue(twin, make_request(request_id="by-the-twin"))
    check_chain(issued.chain, [root], now())


def test_issuer_ref(mount: Mount, open_issuer: Open) -> None:
    mount.write("root/generate/internal", common_name="Other Root", ttl="3000h", key_type="ec", issuer_name="second")
    for reference, root in (("second", "CN=Other Root"), ("first", "CN=Test Root"), (None, "CN=Test Root")):
        (issued,) = issue(open_issuer(mount, issuer_ref=reference), make_request(request_id=f"request-{reference}"))
        assert issued.chain[0].issuer.rfc4514_string() == root
    assert "unable to find PKI issuer for reference: third" in refusal(
        open_issuer(mount, issuer_ref="third"), make_request()
    )


def test_what_the_role_does_not_allow(mount: Mount, open_issuer: Open) -> None:
    words = refusal(open_issuer(mount), make_request(make_spec(dns_names=["www.example.net"])))
    assert "did not sign it" in words and "www.example.net not allowed by this role" in words and "role 'web'" in words
    assert "unknown role" in refusal(open_issuer(mount, token=mount.cluster.root_token, role="nobody"))
    mount.write("roles/web", allowed_domains="example.com", allow_subdomains=True, key_type="any")
    assert "require_cn" in refusal(open_issuer(mount), make_request(make_spec(ip_addresses=["192.0.2.7"])))
    assert list(open_issuer(mount).store.issuances()) == []


def test_an_error_of_one_does_not_cost_the_others(mount: Mount, open_issuer: Open) -> None:
    bad = make_request(make_spec(dns_names=["www.example.net"]), request_id="request-0002")
    answers = open_issuer(mount).issue([bad, make_request()], now())
    assert isinstance(answers[0], IssuerError) and isinstance(answers[1], Issued)


def test_what_comes_is_compared_with_what_was_asked_for(cluster: Cluster, open_issuer: Open) -> None:
    mount = make_mount(cluster, {"server_flag": False})
    assert "left out the usage server_auth" in refusal(open_issuer(mount))
    assert list(open_issuer(mount).store.issuances()) == []


def hostile_request() -> IssueRequest:
    """Of a host that wants to be an administrator of the databases, and had its CSR say so."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db-admin.example.com")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    names = x509.SubjectAlternativeName([x509.DNSName("www.example.com"), x509.DNSName("db-admin.example.com")])
    csr = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    return replace(make_request(), csr=csr)


def test_a_csr_says_nothing_to_the_documented_role(mount: Mount, open_issuer: Open) -> None:
    (issued,) = issue(open_issuer(mount), hostile_request())
    names = names_of(issued.chain[0])
    assert names.sans() == (("DNS", "www.example.com"),) and names.common_name == "www.example.com"


def test_a_role_that_takes_names_from_the_csr(cluster: Cluster, open_issuer: Open) -> None:
    for role in ({"use_csr_common_name": True}, {"use_csr_sans": True}):
        issuer = open_issuer(make_mount(cluster, role))
        words = refusal(issuer, hostile_request())
        assert "answered with the common name 'db-admin" in words or "answered with other names" in words
        assert list(issuer.store.issuances()) == []
    with pytest.raises(CertificateError, match="says more than the inventory|other names"):
        parse_csr(hostile_request().csr.public_bytes(serialization.Encoding.PEM).decode(), make_spec())


def test_revoke(mount: Mount, open_issuer: Open) -> None:
    issuer = open_issuer(mount)
    (issued,) = issue(issuer)
    leaf = issued.chain[0]
    issuer.revoke(leaf, "keyCompromise", now())
    crl = x509.load_pem_x509_crl(mount.root.read(f"{mount.path}/cert/crl")["data"]["certificate"].encode())
    assert crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None
    stranger = make_root("x", "ecdsa-p256", now(), DAY).certificate
    with pytest.raises(IssuerError, match="not found") as caught:
        issuer.revoke(stranger, "keyCompromise", now())
    assert caught.value.remedy


def test_nothing_due_asks_nobody(mount: Mount, open_issuer: Open) -> None:
    assert open_issuer(mount, url=NOWHERE).trust() == ()
    with proxied(mount.cluster) as proxy:
        issuer = open_issuer(mount, url=proxy.url)
        assert "not known yet" in str(issuer.unprepared(now())) and proxy.seen == []
        issuer.prepare(now())
        asked = len(proxy.seen)
        again = open_issuer(mount, url=proxy.url)
        assert len(again.trust()) == 1 and again.unprepared(now()) is None and len(again.authorities()) == 1
        assert len(proxy.seen) == asked == 3


def test_anchors_are_asked_for_once_a_day(mount: Mount, open_issuer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxied(mount.cluster) as proxy:
        issue(open_issuer(mount, url=proxy.url))
        mount.write("root/generate/internal", common_name="Other Root", ttl="3000h", key_type="ec", issuer_name="next")
        assert len(open_issuer(mount, url=proxy.url).trust()) == 1
        tomorrow = now() + DAY + dt.timedelta(minutes=1)
        monkeypatch.setattr("ansible_collections.fleet.tls.plugins.sub_plugins.issuer.openbao.clock", lambda: tomorrow)
        proxy.rule = lambda method, path: REFUSE
        proxy.refusal = (503, b'{"errors":["OpenBao is sealed"]}')
        before = len(proxy.seen)
        # The first run of the day that cannot ask goes on with what is kept, and the next ones do not try at once again.
        for _run in range(3):
            assert len(open_issuer(mount, url=proxy.url).trust()) == 1
        assert len(proxy.seen) == before + 1
        proxy.rule = lambda method, path: PASS
        later = tomorrow + dt.timedelta(seconds=openbao_anchors.AGAIN + 1)
        monkeypatch.setattr("ansible_collections.fleet.tls.plugins.sub_plugins.issuer.openbao.clock", lambda: later)
        before = len(proxy.seen)
        for _run in range(3):
            assert len(open_issuer(mount, url=proxy.url).trust()) == 2
        assert len(proxy.seen) == before + 3


def test_a_ca_that_is_replaced(mount: Mount, open_issuer: Open) -> None:
    (old,) = issue(open_issuer(mount))
    mount.write("root/generate/internal", common_name="Other Root", ttl="3000h", key_type="ec", issuer_name="next")
    mount.write("config/issuers", default="next")
    (new,) = issue(open_issuer(mount), make_request(request_id="request-0002"))
    assert new.chain[0].issuer != old.chain[0].issuer
    for chain in (old.chain, new.chain):
        check_chain(chain, open_issuer(mount).trust(), now())
    mount.root.delete(f"{mount.path}/issuer/first")
    open_issuer(mount).prepare(now())
    # As long as certificates of it may be in use.
    check_chain(old.chain, open_issuer(mount).trust(), now())
    state = json.loads(open_issuer(mount).store.get("issuers/bao/anchors.json").value)  # type: ignore[union-attr]
    rows = list(open_issuer(mount).store.issuances())
    assert sorted(str(each["until"]) for each in state["certificates"]) == sorted(
        ["None", str(max(row.not_after for row in rows))]
    )
    mount.write("root/generate/internal", common_name="Third Root", ttl="3000h", key_type="ec", issuer_name="third")
    open_issuer(mount).prepare(now() + 400 * DAY)
    assert sorted(each.subject.rfc4514_string() for each in open_issuer(mount).trust()) == [
        "CN=Other Root",
        "CN=Third Root",
    ]


def test_a_mount_that_is_no_ca(cluster: Cluster, mount: Mount, open_issuer: Open) -> None:
    assert "has no CA" in refusal(open_issuer(empty_mount(cluster)))
    assert "no secrets engine at 'nowhere/'" in refusal(open_issuer(Mount(cluster, "nowhere"), token="x"))
    issue(open_issuer(mount))
    cluster.root.sys.disable_secrets_engine(mount.path)
    assert "no secrets engine" in refusal(open_issuer(mount, token="x"), make_request(request_id="request-0002"))
    assert len(open_issuer(mount, token="x").trust()) == 1


def test_namespace(cluster: Cluster, open_issuer: Open) -> None:
    root = cluster.root
    root.write_data("sys/namespaces/team", data={})
    inside = hvac.Client(url=cluster.urls[0], token=cluster.root_token, verify=cluster.ca_path, namespace="team")
    inside.sys.enable_secrets_engine("pki", path="pki")
    inside.write_data("pki/root/generate/internal", data={"common_name": "Team Root", "key_type": "ec", "ttl": "700h"})
    inside.write_data("pki/roles/web", data={"allow_any_name": True, "require_cn": False, "key_type": "any"})
    issuer = open_issuer(Mount(cluster, "pki"), token=cluster.root_token, namespace="team")
    (issued,) = issue(issuer, make_request(make_spec(duration="5d")))
    assert issued.chain[0].issuer.rfc4514_string() == "CN=Team Root"


def test_token_in_a_file_or_a_variable(
    mount: Mount, open_issuer: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = mount.cluster.token(mount.policy())
    (tmp_path / "token").write_text(f"{token}\n")
    monkeypatch.setenv("MY_TOKEN", token)
    issue(open_issuer(mount, auth={"method": "token", "token_file": str(tmp_path / "token")}))
    issue(
        open_issuer(mount, auth={"method": "token", "token_env": "MY_TOKEN"}), make_request(request_id="request-0002")
    )
    gone = {"token_file": str(tmp_path / "nothing")}
    assert "cannot be read: No such file" in refusal(
        open_issuer(mount, auth=gone), make_request(request_id="request-0003")
    )
    assert "NO_TOKEN is not set" in refusal(
        open_issuer(mount, auth={"token_env": "NO_TOKEN"}), make_request(request_id="request-0003")
    )


def test_a_token_in_the_environment_that_nobody_named(
    mount: Mount, open_issuer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", mount.cluster.root_token)
    monkeypatch.setenv("VAULT_ADDR", NOWHERE)
    assert "token is not valid" in refusal(open_issuer(mount, auth={"token": "wrong"}))


def test_approle(mount: Mount, open_issuer: Open) -> None:
    root, path = mount.root, f"approle-{mount.path}"
    root.sys.enable_auth_method("approle", path=path)
    root.auth.approle.create_or_update_approle(
        "fleet", token_policies=[mount.policy()], token_type="batch", mount_point=path, token_ttl="60s"
    )
    role_id = root.auth.approle.read_role_id("fleet", mount_point=path)["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("fleet", mount_point=path)["data"]["secret_id"]
    auth = {"method": "approle", "mount": path, "role_id": role_id, "secret_id": secret_id}
    issue(open_issuer(mount, auth=auth))
    words = refusal(
        open_issuer(mount, auth={**auth, "secret_id": "not-the-one"}), make_request(request_id="request-0002")
    )
    assert "the login at" in words and "invalid" in words and "secret_id" in words and "not-the-one" not in words


def test_a_login_that_lasts_no_longer_than_a_moment(mount: Mount, open_issuer: Open) -> None:
    root, path = mount.root, f"approle-{mount.path}"
    root.sys.enable_auth_method("approle", path=path)
    root.auth.approle.create_or_update_approle(
        "fleet", token_policies=[mount.policy()], mount_point=path, token_ttl="1s"
    )
    role_id = root.auth.approle.read_role_id("fleet", mount_point=path)["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("fleet", mount_point=path)["data"]["secret_id"]
    issuer = open_issuer(mount, auth={"method": "approle", "mount": path, "role_id": role_id, "secret_id": secret_id})
    issue(issuer)
    first = issuer.connection.token
    until(lambda: not valid(mount, str(first)), "the token does not expire")
    issue(issuer, make_request(request_id="request-0002"))
    assert issuer.connection.token != first


def valid(mount: Mount, token: str) -> bool:
    try:
        mount.cluster.leader_or_fail().client(token).auth.token.lookup_self()
    except hvac.exceptions.Forbidden:
        return False
    return True


def test_certificate(mount: Mount, open_issuer: Open, tmp_path: Path) -> None:
    root, path = mount.root, f"cert-{mount.path}"
    ca = make_root("Controllers", "ecdsa-p256", now(), DAY)
    certificate, key = write_pair(tmp_path, "me", ca, Names(dns_names=("controller.example.com",)), ("client_auth",))
    root.sys.enable_auth_method("cert", path=path)
    root.write_data(
        f"auth/{path}/certs/fleet",
        data={
            "certificate": to_pem(ca.certificate),
            "token_policies": mount.policy(),
            "allowed_dns_sans": "controller.example.com",
        },
    )
    auth = {
        "method": "cert",
        "mount": path,
        "name": "fleet",
        "certificate_file": str(certificate),
        "private_key_file": str(key),
    }
    issue(open_issuer(mount, auth=auth))
    stranger = make_root("Strangers", "ecdsa-p256", now(), DAY)
    other, other_key = write_pair(tmp_path, "other", stranger, Names(dns_names=("x.example.com",)), ("client_auth",))
    wrong = {**auth, "certificate_file": str(other), "private_key_file": str(other_key)}
    assert "was refused" in refusal(open_issuer(mount, auth=wrong), make_request(request_id="request-0002"))
    mixed = {**auth, "private_key_file": str(other_key)}
    assert "cannot be used" in refusal(open_issuer(mount, auth=mixed), make_request(request_id="request-0002"))


def test_an_expired_token_and_one_without_rights(mount: Mount, open_issuer: Open) -> None:
    brief = mount.cluster.token(mount.policy(), ttl="1s")
    until(lambda: not valid(mount, brief), "the token does not expire")
    words = refusal(open_issuer(mount, token=brief))
    assert (
        "the token is not valid: it has expired" in words and "give a new token" in words.lower() and brief not in words
    )
    poor = mount.cluster.token("default")
    words = refusal(open_issuer(mount, token=poor))
    assert f"permission denied for {mount.path}/sign/web" in words and "policy" in words


def test_a_signature_whose_answer_is_lost_is_not_asked_for_again(mount: Mount, open_issuer: Open) -> None:
    before = len(mount.serials())
    with proxied(mount.cluster) as proxy:
        proxy.rule = lambda method, path: LOSE if "/sign/" in path else PASS
        assert "broke the connection off" in refusal(open_issuer(mount, url=proxy.url))
        assert proxy.count("/sign/") == 1 and len(mount.serials()) == before + 1
        proxy.rule = lambda method, path: REFUSE if "/sign/" in path and proxy.count("/sign/") < 4 else PASS
        issue(open_issuer(mount, url=proxy.url))
        assert proxy.count("/sign/") == 4 and len(mount.serials()) == before + 2
