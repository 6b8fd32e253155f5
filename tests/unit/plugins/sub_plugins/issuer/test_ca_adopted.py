# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_number, crl_to_pem, is_crl_of, serials
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import is_issued_by, serial_text, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.strangers import as_ledger_has_them
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import (
    ISSUING,
    ROOT,
    SECRET,
    ForeignCa,
    locked_pkcs8,
    locked_traditional,
    openssl,
    pkcs12,
)
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    PASSPHRASE,
    killed_after_puts,
    make_issuer,
    make_request,
    make_spec,
)

# openssl dates what it makes by the real clock.
# Well after all that openssl makes here, however long it takes.
NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) + dt.timedelta(hours=6)

Options = dict[str, Any]


def both(ca: ForeignCa, **more: Any) -> Options:
    """Root and issuing CA in plain PEM."""
    names = {
        each: {"certificate": str(ca.path(f"{each}.pem")), "key": str(ca.path(f"{each}.key"))}
        for each in ("root", "issuing")
    }
    return {each: {**fields, **more.get(each, {})} for each, fields in names.items()}


def two_tiers(folder: Path, key: str = "ec") -> ForeignCa:
    """A root and an issuing CA."""
    ca = ForeignCa(folder)
    ca.make("root", ROOT, key=key)
    ca.make("issuing", ISSUING, "root", key=key)
    return ca


def of_openssl(folder: Path) -> Options:
    ca = two_tiers(folder, "rsa")
    locked = {each: {"key": str(locked_pkcs8(ca, each)), "passphrase": SECRET} for each in ("root", "issuing")}
    return both(ca, **locked)


def of_community_crypto(folder: Path) -> Options:
    ca = two_tiers(folder)
    return both(ca, root={"certificate": ca.path("root.pem").read_text(), "key": ca.path("root.key").read_text()})


def of_step(folder: Path) -> Options:
    # Its newest releases make the key's identifier of SHA-256, which nobody can tell from the key.
    ca = ForeignCa(folder)
    ca.make("root", ROOT.replace("CA:TRUE", "CA:TRUE,pathlen:1").replace("=hash", "=" + "AB" * 20))
    ca.make("issuing", ISSUING.replace("=hash", "=" + "CD" * 20), "root", days=730)
    locked = {each: {"key": str(locked_traditional(ca, each)), "passphrase": SECRET} for each in ("root", "issuing")}
    return both(ca, **locked)


def of_xca(folder: Path) -> Options:
    ca = two_tiers(folder)
    files = {"root": pkcs12(ca, "root"), "issuing": pkcs12(ca, "issuing", "root")}
    return {each: {"certificate": str(path), "passphrase": SECRET} for each, path in files.items()}


def of_easy_rsa(folder: Path) -> Options:
    ca = ForeignCa(folder / "pki")
    ca.make(
        "ca",
        ROOT.replace("critical,", "") + "authorityKeyIdentifier=keyid,issuer\n",
        key="rsa",
        subject="/CN=Easy-RSA CA",
    )
    ca.database()
    return {
        "root": {
            "certificate": str(ca.path("ca.pem")), "key": str(locked_pkcs8(ca, "ca")), "passphrase": SECRET,
            "index": str(ca.path("index.txt")), "crl": str(ca.crl("ca")),
        }
    }  # fmt: skip


def of_easy_rsa_alone(folder: Path) -> Options:
    return {**of_easy_rsa(folder), "issuing": "root"}


def of_mkcert(folder: Path) -> Options:
    ca = ForeignCa(folder)
    ca.make(
        "rootCA",
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n",
        key="rsa",
    )
    return {"root": {"certificate": str(ca.path("rootCA.pem")), "key": str(ca.path("rootCA.key"))}}


def of_minica(folder: Path) -> Options:
    ca = ForeignCa(folder)
    usages = "keyUsage=critical,digitalSignature,keyCertSign\nextendedKeyUsage=serverAuth,clientAuth\n"
    ca.make(
        "minica",
        f"basicConstraints=critical,CA:TRUE,pathlen:0\n{usages}subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
    )
    return {"root": {"certificate": str(ca.path("minica.pem")), "key": str(ca.path("minica.key"))}}


def of_ed448(folder: Path) -> Options:
    return both(two_tiers(folder, "ed448"))


FORMS: dict[str, tuple[Callable[[Path], Options], int, bool]] = {
    # who made it: how long chains are, and whether the CAs may sign CRLs
    "openssl": (of_openssl, 2, True),
    "community.crypto": (of_community_crypto, 2, True),
    "step": (of_step, 2, True),
    "XCA": (of_xca, 2, True),
    "easy-rsa": (of_easy_rsa, 2, True),
    "easy-rsa alone": (of_easy_rsa_alone, 1, True),
    "mkcert": (of_mkcert, 1, False),
    "minica": (of_minica, 1, False),
    "ed448": (of_ed448, 2, True),
}


KEY = generate_key("ecdsa-p256")


def issue(issuer: CaIssuer, number: int = 1, now: dt.datetime = NOW) -> tuple[x509.Certificate, ...]:
    """The chain of a client's certificate."""
    request = make_request(make_spec(usages=["client_auth"]), request_id=f"request-{number:04}", key=KEY)
    (issued,) = issuer.issue([request], now)
    assert isinstance(issued, Issued), issued
    return issued.chain


def by_openssl(
    issuer: CaIssuer, chain: tuple[x509.Certificate, ...], folder: Path, *, now: dt.datetime = NOW, crls: bool = True
) -> str:
    """What servers say of a chain."""
    lists = "".join(map(crl_to_pem, issuer.crls(now, renew=False))) if crls else ""
    return verdict(folder, chain, "".join(map(to_pem, issuer.trust())), lists, now)


@pytest.mark.parametrize("form", FORMS)
def test_a_ca_is_adopted(form: str, tmp_path: Path) -> None:
    make, tiers, lists = FORMS[form]
    theirs, store = tmp_path / "theirs", tmp_path / "store"
    options = make(theirs)
    issuer = make_issuer(store, **options)
    due = issuer.unprepared(NOW)
    assert due and "adopted" in due and not store.exists()
    issuer.prepare(NOW)
    # Nothing of theirs is needed any more.
    shutil.rmtree(theirs)
    issuer = make_issuer(store, **options)
    assert issuer.unprepared(NOW) is None and issuer.waits_for(NOW) is None
    chain = issue(issuer)
    assert len(chain) == tiers and by_openssl(issuer, chain, tmp_path, crls=lists) == "OK"
    assert len(issuer.crls(NOW)) == (tiers if lists else 0) and issuer.crls_due(NOW) is None
    (root,) = issuer.trust()
    assert "Corp" in root.subject.rfc4514_string() or "Easy-RSA" in root.subject.rfc4514_string()
    sealed = openssl(
        "pkey", "-in", store / "ca/internal/root-1.key", "-passin", "stdin", "-pubout", stdin=PASSPHRASE.encode()
    )
    assert sealed == openssl("x509", "-in", store / "ca/internal/root-1.pem", "-noout", "-pubkey")
    # A second run has nothing to do, and the same request gets the same certificate.
    assert issue(issuer) == chain


def test_what_it_has_revoked_comes_along(tmp_path: Path) -> None:
    options = of_easy_rsa(tmp_path / "theirs")
    ca = ForeignCa(tmp_path / "theirs/pki")
    listed, noted, good, ended = (ca.issue("ca", name) for name in ("listed", "noted", "good", "ended"))
    ca.revoke("ca", "listed")
    ca.crl("ca")
    ca.revoke("ca", "noted", "superseded")
    ca.revoke("ca", "ended")
    index = ca.path("index.txt")
    rows = index.read_text().splitlines()
    index.write_text(
        "\n".join(row.replace(row.split("\t")[1], "250101000000Z", 1) if "/CN=ended" in row else row for row in rows)
    )
    issuer = make_issuer(tmp_path / "store", **options)
    issuer.prepare(NOW)
    (crl,) = [each for each in issuer.crls(NOW) if is_crl_of(each, issuer.trust()[0])]
    assert serials(crl) == {serial_text(each.serial_number) for each in (listed, noted)}
    assert (crl_number(crl) or 0) > 0x2A and serial_text(ended.serial_number) not in serials(crl)
    reasons = {entry.serial_number: entry.extensions[0].value.reason.name for entry in crl}
    assert reasons == {listed.serial_number: "key_compromise", noted.serial_number: "superseded"}
    assert by_openssl(issuer, (good,), tmp_path) == "OK"
    assert all("revoked" in by_openssl(issuer, (each,), tmp_path) for each in (listed, noted))
    # It stays so in later lists, which the ledger knows nothing of.
    later = NOW + 200 * DAY
    (crl,) = [each for each in issuer.crls(later) if is_crl_of(each, issuer.trust()[0])]
    assert serials(crl) == {serial_text(each.serial_number) for each in (listed, noted)}


@pytest.mark.parametrize("form", ["easy-rsa", "easy-rsa alone"])
def test_what_it_has_issued_can_be_revoked_by_its_number(form: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path / "store", **FORMS[form][0](tmp_path / "theirs"))
    ca = ForeignCa(tmp_path / "theirs/pki")
    theirs = ca.issue("ca", "laptop")
    issuer.prepare(NOW)
    assert by_openssl(issuer, (theirs,), tmp_path) == "OK"
    issuers, which = {"internal": issuer}, [serial_text(theirs.serial_number)]
    _words, rows = as_ledger_has_them(issuer.store, issuers, which, "internal", NOW)
    with issuer.store.ledger() as ledger:
        for row in rows:
            ledger.add(row)
    assert revoke(issuers, issuer.store, [row.fingerprint for row in rows], "superseded", NOW).warnings == ()
    assert "revoked" in by_openssl(issuer, (theirs,), tmp_path)


def test_a_root_that_issues_by_itself_revokes(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path / "store", **of_easy_rsa_alone(tmp_path / "theirs"))
    chain, other = issue(issuer), issue(issuer, 2)
    (crl,) = issuer.crls(NOW)
    assert crl.next_update_utc is not None and crl.next_update_utc - NOW == 7 * DAY
    assert (
        revoke({"internal": issuer}, issuer.store, [serial_text(chain[0].serial_number)], "superseded", NOW).warnings
        == ()
    )
    issuer.crls(NOW)
    assert "revoked" in by_openssl(issuer, chain, tmp_path) and by_openssl(issuer, other, tmp_path) == "OK"


def test_a_ca_that_may_sign_no_lists_says_so_when_something_is_revoked(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path / "store", **of_mkcert(tmp_path / "theirs"))
    chain = issue(issuer)
    assert issuer.crls(NOW) == () and issuer.waits_for(NOW) is None
    done = revoke({"internal": issuer}, issuer.store, [serial_text(chain[0].serial_number)], "superseded", NOW)
    assert "does not let it sign a CRL" in " ".join(done.warnings) and "rotate_ca" in " ".join(done.warnings)
    assert "does not let it sign a CRL" in str(issuer.waits_for(NOW)) and issuer.crls(NOW) == ()


def not_a_ca(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    ca.make("issuing", "basicConstraints=critical,CA:FALSE\n", "root")
    return both(ca)


def no_constraints(ca: ForeignCa) -> Options:
    ca.make("root", "keyUsage=critical,keyCertSign\n")
    ca.make("issuing", ISSUING, "root")
    return both(ca)


def no_cert_sign(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    ca.make("issuing", ISSUING.replace("keyCertSign,", ""), "root")
    return both(ca)


def ended(ca: ForeignCa) -> Options:
    ca.make("root", ROOT, days=1)
    ca.make("issuing", ISSUING, "root")
    return both(ca)


def of_another_root(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    ca.make("other", ROOT)
    ca.make("issuing", ISSUING, "other")
    return both(ca)


def no_room_below(ca: ForeignCa) -> Options:
    ca.make("root", ROOT.replace("CA:TRUE", "CA:TRUE,pathlen:0"))
    ca.make("issuing", ISSUING, "root")
    return both(ca)


def no_root(ca: ForeignCa) -> Options:
    ca.make("above", ROOT)
    ca.make("root", ROOT, "above")
    ca.make("issuing", ISSUING, "root")
    return both(ca)


def another_key(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    ca.make("issuing", ISSUING, "root")
    ca.make("stranger", ROOT)
    return both(ca, issuing={"key": str(ca.path("stranger.key"))})


def wrong_passphrase(ca: ForeignCa, lock: Callable[[ForeignCa, str], Path]) -> Options:
    ca.make("root", ROOT)
    ca.make("issuing", ISSUING, "root")
    return both(ca, issuing={"key": str(lock(ca, "issuing")), "passphrase": "wrong horse"})


def no_passphrase(ca: ForeignCa) -> Options:
    options = wrong_passphrase(ca, locked_pkcs8)
    del options["issuing"]["passphrase"]
    return options


def locked_store(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    return {"root": {"certificate": str(pkcs12(ca, "root")), "passphrase": "wrong horse"}}


def no_file(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    return {"root": {"certificate": str(ca.path("root.pem")), "key": str(ca.path("nowhere.key"))}}


def a_leafs_list(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    ca.make("stranger", ROOT)
    ca.database()
    return {
        "root": {
            "certificate": str(ca.path("root.pem")),
            "key": str(ca.path("root.key")),
            "crl": str(ca.crl("stranger")),
        }
    }


def no_index(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    return {
        "root": {
            "certificate": str(ca.path("root.pem")),
            "key": str(ca.path("root.key")),
            "index": str(ca.path("root.pem")),
        }
    }


def no_issuing_key(ca: ForeignCa) -> Options:
    ca.make("root", ROOT)
    ca.make("issuing", ISSUING, "root")
    options = both(ca)
    del options["issuing"]["key"]
    return options


def two_passwords_only(ca: ForeignCa) -> Options:
    ca.make("root", ROOT, key="pss")
    return {"root": {"certificate": str(ca.path("root.pem")), "key": str(ca.path("root.key"))}}


def keyless_single(ca: ForeignCa) -> Options:
    ca.make("root", ROOT.replace("CA:TRUE", "CA:TRUE,pathlen:0"))
    return {"root": {"certificate": str(ca.path("root.pem"))}}


UNFIT: dict[str, tuple[Callable[[ForeignCa], Options], str, dt.timedelta]] = {
    "CA:FALSE": (not_a_ca, "issuing: 'CN=issuing,O=Corp' is not a CA (no basic constraints with CA:TRUE)", 0 * DAY),
    "no basic constraints": (no_constraints, "root: 'CN=root,O=Corp' is not a CA (no basic constraints with CA:TRUE)", 0 * DAY),
    "no keyCertSign": (no_cert_sign, "may not sign certificates (its key usage has no keyCertSign)", 0 * DAY),
    "expired": (ended, "root: 'CN=root,O=Corp' expired on", 2 * DAY),
    "from the future": (ended, "root: 'CN=root,O=Corp' is not valid yet", -2 * DAY),
    "another root": (of_another_root, "'CN=issuing,O=Corp' is not signed by the root 'CN=root,O=Corp'", 0 * DAY),
    "path length": (no_room_below, "may have no CA below it (its path length is 0). Write issuing: root", 0 * DAY),
    "not self-signed": (no_root, "'CN=root,O=Corp' is not self-signed, so it is not a root", 0 * DAY),
    "another key": (another_key, "issuing: the private key does not belong to 'CN=issuing,O=Corp'", 0 * DAY),
    "wrong passphrase": (lambda ca: wrong_passphrase(ca, locked_pkcs8), "issuing: key: the private key cannot be read", 0 * DAY),
    "wrong passphrase, step": (lambda ca: wrong_passphrase(ca, locked_traditional), "issuing: key: the private key cannot be read", 0 * DAY),
    "wrong passphrase, XCA": (locked_store, "root: certificate: neither PEM nor DER nor PKCS#7, and it cannot be opened as PKCS#12", 0 * DAY),
    "no passphrase": (no_passphrase, "It may be encrypted: give its passphrase", 0 * DAY),
    "no file": (no_file, "root: key: cannot read", 0 * DAY),
    "another CA's list": (a_leafs_list, "is not signed by 'CN=root,O=Corp'. Give the CRL of this CA", 0 * DAY),
    "no index": (no_index, "index: line 1 is none of an index.txt of openssl", 0 * DAY),
    "no key of the issuing CA": (no_issuing_key, "issuing: there is no key of 'CN=issuing,O=Corp'", 0 * DAY),
    "RSA-PSS only": (two_passwords_only, "has a key for RSA-PSS only", 0 * DAY),
    "issues by itself, without its key": (keyless_single, "can only issue by itself, and its key is not given", 0 * DAY),
}  # fmt: skip


@pytest.mark.parametrize("what", UNFIT)
def test_an_unfit_ca_is_refused_before_anything_is_written(what: str, tmp_path: Path) -> None:
    make, words, ahead = UNFIT[what]
    issuer = make_issuer(tmp_path / "store", **make(ForeignCa(tmp_path / "theirs")))
    for work in (issuer.unprepared, issuer.prepare):
        with pytest.raises(TlsError) as caught:
            work(NOW + ahead)
        assert words in str(caught.value) and caught.value.remedy
        assert "wrong horse" not in str(caught.value)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.suffix in (".pem", ".key", ".json", ".crl")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"issuing": {"certificate": "/ca.pem"}}, "issuing is given, and root is not"),
        ({"root": {"key": "/ca.key"}}, "root: certificate is missing"),
        ({"root": {"certificate": "ca.pem"}}, "root: certificate is neither a PEM text nor the absolute path"),
        ({"root": {"certificate": "/ca.pem", "password": SECRET}}, "unknown option 'password'"),
        ({"root": "/ca.pem"}, "root must be a mapping"),
        ({"root": {"certificate": "/ca.pem", "key": "/k", "openbao": {"url": "https://bao", "auth": {"token": "x"}}}}, "root has a key and openbao"),
        ({"root": {"certificate": "/ca.pem", "openbao": {"url": "https://bao"}}}, "root: openbao: auth is missing"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(options: Options, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        make_issuer(tmp_path, **options)
    assert words in str(caught.value) and SECRET not in str(caught.value)


def constrained(folder: Path) -> ForeignCa:
    """A CA for one domain, whose issuing CA is for servers only."""
    ca = ForeignCa(folder)
    ca.make("root", ROOT + "nameConstraints=critical,permitted;DNS:example.com\n")
    ca.make("issuing", ISSUING + "extendedKeyUsage=serverAuth\n", "root")
    return ca


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dns_names": ["www.example.org"]}, "'CN=root,O=Corp' may not issue for www.example.org (its name constraints)"),
        ({"usages": ["client_auth"]}, "'CN=issuing,O=Corp' may not issue for client_auth (its extended key usages)"),
        ({}, None),
    ],
)  # fmt: skip
def test_what_its_ca_may_not_issue_is_refused_before_a_host_is_touched(
    fields: Options, words: str | None, tmp_path: Path
) -> None:
    issuer, spec = make_issuer(tmp_path / "store", **both(constrained(tmp_path / "theirs"))), make_spec(**fields)
    if words is None:
        issuer.check(spec)
        (issued,) = issuer.issue([make_request(spec)], NOW)
        assert isinstance(issued, Issued)
        return
    # Before the CA is adopted, and after; and whoever asks all the same.
    for _time in range(2):
        with pytest.raises(SpecError) as caught:
            issuer.check(spec)
        assert words in str(caught.value)
        (answer,) = issuer.issue([make_request(spec)], NOW)
        assert isinstance(answer, IssuerError) and words in str(answer)
        issuer = make_issuer(tmp_path / "store", **both(ForeignCa(tmp_path / "theirs")))
    assert not list(issuer.store.issuances())


def rolled_over(issuer: CaIssuer, folder: Path, now: dt.datetime = NOW) -> tuple[x509.Certificate, ...]:
    """Through all stages, with the proofs that hosts make of them; what is issued then."""
    rollover = issuer.rollover()
    before = issue(issuer, 1, now)
    rollover.prepare(rollover.next_root(), now)
    canaries = rollover.canaries(now)
    assert set(canaries) == {"old", "new"}
    for canary in canaries.values():
        chain = x509.load_pem_x509_certificates(canary.chain.encode())
        assert by_openssl(issuer, tuple(chain), folder, now=now, crls=False) == "OK"
    rollover.activate()
    assert issuer.superseded(before) and set(rollover.canaries(now)) == {"old", "new"}
    after = issue(make_issuer(folder / "store", **dict(issuer.fields.raw)), 1, now)
    assert after[0] != before[0] and issuer.superseded(after) is None
    rollover.retire()
    assert by_openssl(issuer, before, folder, now=now, crls=False) != "OK"
    assert by_openssl(issuer, after, folder, now=now) == "OK"
    return after


@pytest.mark.parametrize("form", ["XCA", "easy-rsa alone", "mkcert"])
def test_an_adopted_ca_gives_way_to_our_own(form: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path / "store", **FORMS[form][0](tmp_path / "theirs"))
    issuer.prepare(NOW)
    shutil.rmtree(tmp_path / "theirs")
    after = rolled_over(issuer, tmp_path)
    (root,) = issuer.trust()
    assert root.subject.rfc4514_string() == "CN=internal CA 2 Root" and is_issued_by(after[-1], root)


@pytest.mark.parametrize("form", ["step", "mkcert"])
def test_our_own_ca_gives_way_to_one_that_exists(form: str, tmp_path: Path) -> None:
    make_issuer(tmp_path / "store").prepare(NOW)
    issuer = make_issuer(tmp_path / "store", **FORMS[form][0](tmp_path / "theirs"))
    assert issuer.unprepared(NOW) is None
    assert "is a root that the store does not know: fleet.tls.rotate_ca lets it take over" in str(issuer.waits_for(NOW))
    state = issuer.state()
    assert state is not None and state.root == "root-1"
    rollover = issuer.rollover()
    before = issue(issuer)
    rollover.prepare(rollover.next_root(), NOW)
    rollover.activate()
    after = issue(make_issuer(tmp_path / "store", **dict(issuer.fields.raw)))
    assert after[0] != before[0] and by_openssl(issuer, after, tmp_path, crls=False) == "OK"
    rollover.retire()
    assert "Corp" in issuer.trust()[0].subject.rfc4514_string() and issuer.waits_for(NOW) is None


def test_an_adopted_issuing_ca_is_replaced_in_time(tmp_path: Path) -> None:
    options = of_step(tmp_path / "theirs")
    issuer = make_issuer(tmp_path / "store", **options)
    issuer.prepare(NOW)
    shutil.rmtree(tmp_path / "theirs")
    later = NOW + 600 * DAY
    assert "the next one is made" in str(issuer.unprepared(later))
    issuer.prepare(later)
    state = issuer.state()
    assert state is not None and (state.root, state.issuing) == ("root-1", "issuing-2")
    assert by_openssl(issuer, issue(issuer, now=later), tmp_path, now=later) == "OK"


def test_a_run_that_ends_anywhere_while_it_adopts(tmp_path: Path) -> None:
    options = of_easy_rsa(tmp_path / "theirs")
    ca = ForeignCa(tmp_path / "theirs/pki")
    theirs = ca.issue("ca", "laptop")
    ca.revoke("ca", "laptop")
    for puts in range(1, 30):
        issuer = make_issuer(tmp_path / str(puts), **options)
        killed = killed_after_puts(issuer.store, puts, lambda: issuer.prepare(NOW))  # noqa: B023
        issuer = make_issuer(tmp_path / str(puts), **options)
        issuer.prepare(NOW)
        assert by_openssl(issuer, issue(issuer), tmp_path) == "OK"
        assert "revoked" in by_openssl(issuer, (theirs,), tmp_path)
        assert set(issuer.authorities()) == {"root-1", "issuing-1"} and "Easy-RSA" in str(issuer.trust()[0].subject)
        if not killed:
            break
    assert puts > 5 and not killed
