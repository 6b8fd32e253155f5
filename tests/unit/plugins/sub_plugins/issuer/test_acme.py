# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.action.ca import ActionModule as CaAction
from ansible_collections.fleet.tls.plugins.action.trust_bundle import ActionModule as TrustAction
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.options import parse_external
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, load_solver
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_certificate
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.acme import AcmeIssuer
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, PASSPHRASE, make_issuer, make_request, make_store

URL = "https://ca.example.com/directory"
ACCOUNT = {
    "version": 1, "thumbprint": "t" * 43, "directory": URL, "url": "https://ca.example.com/account/1", "contact": [],
    "renewal_info": None,
}  # fmt: skip
TSIG = {"name": "key", "secret": "c2VjcmV0c2VjcmV0"}


def make(path: Path, **options: Any) -> AcmeIssuer:
    """An issuer in the store at ``path``."""
    given = {"directory_url": URL, "challenge": {"type": "http-01"}, **options}
    return AcmeIssuer("public", {key: value for key, value in given.items() if value is not None}, make_store(path))


def keep(path: Path, **changes: Any) -> None:
    """An account in the store at ``path``."""
    make_store(path).put("acme/public/account.json", json.dumps({**ACCOUNT, **changes}).encode(), expect=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"directory_url": None}, "directory_url is missing"),
        ({"directory_url": "http://ca.example.com/"}, "no https address"),
        ({"directory_url": "https://user@ca.example.com/"}, "no https address"),
        ({"challenge": None}, "challenge is missing"),
        ({"challenge": "http-01"}, "challenge is missing"),
        ({"challenge": {"type": "tls-alpn-01"}}, "there is no solver type"),
        ({"challenge": {"type": "http-01", "webroot": "html"}}, "not an absolute path"),
        ({"challenge": {"type": "http-01", "check": "perhaps"}}, "neither true nor false"),
        ({"challenge": {"type": "http-01", "check_address": "http://x"}}, "check_address"),
        ({"challenge": {"type": "dns_rfc2136"}}, "server"),
        ({"challenge": {"type": "dns_rfc2136", "server": "ns1", "tsig": {"name": "x"}}}, "secret is missing"),
        ({"challenge": {"type": "dns_rfc2136", "server": "ns1", "tsig": {**TSIG, "algorithm": "md5"}}}, "algorithm"),
        ({"challenge": {"type": "command"}}, "command is missing"),
        ({"challenge": {"type": "command", "command": ["x"], "challenge": "tls"}}, "challenge"),
        ({"contact": ["not a mailbox"]}, "not a mailbox"),
        ({"contacts": ["a@example.com"]}, "unknown option 'contacts'"),
        ({"external_account": {"kid": "x"}}, "hmac_key is missing"),
        ({"external_account": {"kid": "x", "hmac_key": "no base64!"}}, "not base64"),
        ({"ca_certificate": "/no/such/file"}, "there is no file"),
        ({"limits": "many"}, "limits"),
        ({"timeout": "5"}, "timeout"),
        ({"terms_agreed": "of course"}, "terms_agreed"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        make(tmp_path, **options)
    assert caught.value.remedy
    assert "no base64!" not in str(caught.value) and "c2VjcmV0" not in str(caught.value)


def test_a_bad_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not a valid issuer name"):
        AcmeIssuer("../x", {"directory_url": URL, "challenge": {"type": "http-01"}}, make_store(tmp_path))


def test_anchors(tmp_path: Path) -> None:
    """Own ones as text or file; else those of the controller, which hosts are not given."""
    own = make_issuer(tmp_path / "ca")
    own.prepare(NOW)
    (root,) = own.trust()
    path = tmp_path / "root.pem"
    path.write_text(to_pem(root))
    for anchors in (to_pem(root), str(path)):
        issuer = make(tmp_path, anchors=anchors)
        assert issuer.trust() == issuer.anchors() == (root,)
        assert list(issuer.authorities().values()) == [root]
    public = make(tmp_path)
    assert len(public.trust()) > 20
    assert public.anchors() == () and public.authorities() == {}
    for wrong in (str(tmp_path / "none"), "-----BEGIN CERTIFICATE-----\nAAAA", "relative.pem"):
        with pytest.raises(SpecError, match="anchors"):
            make(tmp_path, anchors=wrong).trust()


def test_thumbprints_are_for_those_who_answer_without_files(tmp_path: Path) -> None:
    assert make(tmp_path).thumbprints() == ()
    keep(tmp_path)
    assert make(tmp_path).thumbprints() == ("t" * 43,)
    assert make(tmp_path, challenge={"type": "http-01", "webroot": "/srv/www"}).thumbprints() == ()
    assert make(tmp_path, challenge={"type": "command", "command": ["x"]}).thumbprints() == ()


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ({}, None),
        ({"url": None}, "is not registered with"),
        ({"directory": "https://other.example.com/"}, "is not registered with"),
        ({"contact": ["old@example.com"]}, "contact .* is changed"),
    ],
)
def test_what_has_to_be_prepared(tmp_path: Path, kept: dict[str, Any], words: str | None) -> None:
    keep(tmp_path, **kept)
    found = make(tmp_path).unprepared(NOW)
    assert found is None if words is None else re.search(words, str(found))


@pytest.mark.parametrize("written", ["a+b/c+d/", "a-b_c-d_", "a+b/c+d/YQ==", "a-b_c-d_YQ"])
def test_the_key_of_an_external_account_in_either_alphabet(written: str) -> None:
    found = parse_external({"kid": "x", "hmac_key": written}, "issuer 'public'")
    assert found is not None and found["hmac_key"] == written.translate(str.maketrans("+/", "-_")).rstrip("=")


def test_no_certificates_for_clients_from_a_public_ca(tmp_path: Path) -> None:
    wish = parse_certificate(
        {"name": "app", "issuer": "public", "dns_names": ["app.example.com"], "usages": ["server_auth", "client_auth"]},
        {"public": None},
    )
    with pytest.raises(SpecError, match="no certificates for clients any more.*") as found:
        make(tmp_path).check(wish)
    assert "a second certificate from an internal CA" in str(found.value)
    make(tmp_path, anchors="-----BEGIN CERTIFICATE-----").check(wish)


def test_a_damaged_account(tmp_path: Path) -> None:
    make_store(tmp_path).put("acme/public/account.json", b"{}", expect=None)
    with pytest.raises(TlsError, match="is damaged"):
        make(tmp_path).thumbprints()


def test_no_advice_without_renewal_information(tmp_path: Path) -> None:
    (answer,) = make_issuer(tmp_path / "ca").issue([make_request()], NOW)
    keep(tmp_path)
    assert make(tmp_path).advice(answer.chain[0], NOW) is None  # type: ignore[union-attr]


def test_only_acme_staples(tmp_path: Path) -> None:
    wish = parse_certificate(
        {"name": "www", "issuer": "internal", "dns_names": ["a.example"], "must_staple": True}, {"internal": None}
    )
    make(tmp_path).check(wish)
    with pytest.raises(SpecError, match="issuer 'internal' makes no certificates that must be stapled"):
        make_issuer(tmp_path).check(wish)


def options(store: Path, issuers: str) -> str:
    return f"""
    store: {{path: {store}, passphrase: {PASSPHRASE}}}
    issuers: {issuers}
    """


def test_the_action_ca_tells_the_thumbprints(tmp_path: Path) -> None:
    keep(tmp_path)
    issuers = (
        f"{{public: {{type: acme, directory_url: '{URL}', challenge: {{type: http-01}}}}, internal: {{type: ca}}}}"
    )
    result = run_action(CaAction, options(tmp_path, issuers))
    assert result["acme_thumbprints"] == ["t" * 43] == result["issuers"]["public"]["thumbprints"]
    assert result["issuers"]["internal"]["thumbprints"] == []
    assert result["issuers"]["public"]["anchors"] == ""
    assert set(result["prepared"]) == {"internal"}


def test_public_roots_are_not_installed(tmp_path: Path) -> None:
    """Every system has them: with no other issuer there is nothing to do, and the host is not asked."""
    issuers = f"{{public: {{type: acme, directory_url: '{URL}', challenge: {{type: http-01}}}}}}"
    looked = {"ansible_facts": {"fleet_tls_host": {"trusts_ours": False}}}
    result = run_action(TrustAction, options(tmp_path, issuers) + "\n    system: true", looked)
    assert (result["changed"], result["anchors"]) == (False, [])
    with pytest.raises(Exception, match="there is no trust anchor to install"):
        run_action(TrustAction, options(tmp_path, issuers) + "\n    bundles: [{path: /etc/x.pem}]")


def test_a_webroot_needs_a_host() -> None:
    solver = load_solver({"type": "http-01", "webroot": "/srv/www"}, "issuer 'public'")
    with pytest.raises(TlsError, match="a webroot needs a host"):
        solver.present([Challenge("a.example", "token", "value")], None)


def test_files_are_put_and_removed_on_the_host() -> None:
    """In the words of docs/host-protocol.md."""
    asked: list[Any] = []
    solver = load_solver({"type": "http-01", "webroot": "/srv/www/", "check": False}, "issuer 'public'")

    def host(request: Any) -> dict[str, Any]:
        asked.append(request)
        return {}

    challenges = [Challenge("a.example", "token", "token.thumbprint")]
    solver.present(challenges, host)
    solver.cleanup(challenges, host)
    files = [{"token": "token", "content": "token.thumbprint"}]
    assert asked == [{"webroot": "/srv/www", "state": state, "files": files} for state in ("present", "absent")]
