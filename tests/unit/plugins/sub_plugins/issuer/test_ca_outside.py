# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A root whose key is elsewhere: what is asked of it, and what is taken for an answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    CertificateError,
    Deferred,
    IssuerError,
    PassphraseError,
    RotationError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import (
    crl_number,
    crl_to_pem,
    is_crl_of,
    parse_pem_crls,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import is_issued_by, to_pem
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import ISSUING, ROOT, ForeignCa
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    killed_after_puts,
    make_issuer,
    make_request,
    make_spec,
    snapshot,
)

# openssl dates what it makes by the real clock.
# Well after all that openssl makes here, however long it takes.
NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) + dt.timedelta(hours=6)
KEY = generate_key("ecdsa-p256")


class Offline:
    """A root whose key the controller never sees, and the issuer that asks it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.store = folder / "store"
        self.corp = ForeignCa(folder / "corp")
        self.corp.make("root", ROOT, days=7300)
        self.answer = folder / "issuing.pem"
        self.options: dict[str, Any] = {
            "root": {"certificate": str(self.corp.path("root.pem"))},
            "issuing": {"certificate": str(self.answer)},
            **options,
        }

    def issuer(self, **more: Any) -> CaIssuer:
        """As the next task has it."""
        return make_issuer(self.store, **{**self.options, **more})

    def csr(self, issuing: str = "issuing-1") -> Path:
        """Where the store has it."""
        return self.store / f"ca/internal/{issuing}.csr"

    def sign(
        self,
        issuing: str = "issuing-1",
        extensions: str = ISSUING,
        signer: str = "root",
        *,
        days: int = 730,
        subject: str = "",
    ) -> None:
        """What the root's keeper does with the CSR."""
        signed = self.corp.sign(self.csr(issuing), issuing, extensions, signer, days=days, subject=subject)
        self.answer.write_bytes(signed.read_bytes())


def issued(issuer: CaIssuer, now: dt.datetime = NOW) -> Issued | TlsError:
    """What comes of a client's request."""
    return issuer.issue([make_request(make_spec(usages=["client_auth"]), key=KEY)], now)[0]


def chain_of(issuer: CaIssuer, now: dt.datetime = NOW) -> tuple[x509.Certificate, ...]:
    """A client's certificate and what is above it."""
    answer = issued(issuer, now)
    assert isinstance(answer, Issued), answer
    return answer.chain


def by_openssl(issuer: CaIssuer, chain: tuple[x509.Certificate, ...], folder: Path, now: dt.datetime = NOW) -> str:
    """What clients say of a chain."""
    return verdict(folder, chain, "".join(map(to_pem, issuer.trust())), "", now)


def test_the_first_issuing_ca_is_asked_for_and_taken_when_it_is_there(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    issuer = offline.issuer()
    assert "is adopted without its key, and a key and a CSR are made for an issuing CA" in str(issuer.unprepared(NOW))
    assert not offline.store.exists()
    issuer.prepare(NOW)

    # It waits, and the root can be handed out already.
    issuer = offline.issuer()
    assert issuer.unprepared(NOW) is None and issuer.trust() == (offline.corp.certificate("root"),)
    wanted = issuer.signature_wanted(NOW)
    assert wanted and wanted.csr == offline.csr().read_text()
    csr = x509.load_pem_x509_csr(wanted.csr.encode())
    assert csr.subject.rfc4514_string() == f"CN=internal CA Issuing {NOW:%Y-%m}" and csr.is_signature_valid
    asked = csr.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (asked.ca, asked.path_length) == (True, 0)
    usage = csr.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign and usage.crl_sign and not usage.digital_signature
    assert wanted.message == (
        "the CA 'internal' waits for the signature of 'CN=root,O=Corp' under issuing-1.csr; until then it issues nothing"
    )
    assert f"put the certificate to {offline.answer}" in wanted.remedy and wanted.message in str(issuer.waits_for(NOW))
    # Deferred: no failure for whoever has a certificate that serves still.
    with pytest.raises(Deferred, match="waits for the signature of 'CN=root,O=Corp'"):
        issued(issuer)
    before = snapshot(offline.store)
    issuer.prepare(NOW)
    assert snapshot(offline.store) == before

    offline.sign()
    assert "the certificate for issuing-1.csr is there, and is taken" in str(issuer.unprepared(NOW))
    assert snapshot(offline.store) == before
    issuer.prepare(NOW)
    issuer = offline.issuer()
    assert issuer.unprepared(NOW) is None and issuer.waits_for(NOW) is None and issuer.signature_wanted(NOW) is None
    chain = chain_of(issuer)
    assert by_openssl(issuer, chain, tmp_path) == "OK" and is_issued_by(chain[1], offline.corp.certificate("root"))
    assert not (offline.store / "ca/internal/root-1.key").exists()


def test_without_the_stores_passphrase_nothing_is_begun(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    for passphrase in (None, "short"):
        with pytest.raises(PassphraseError):
            make_issuer(offline.store, passphrase=passphrase, **offline.options).prepare(NOW)
    assert not list(offline.store.rglob("ca/internal/*"))


def test_a_certificate_that_is_issued_takes_the_answer_too(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    offline.issuer().prepare(NOW)
    offline.sign()
    assert by_openssl(offline.issuer(), chain_of(offline.issuer()), tmp_path) == "OK"


def stranger(offline: Offline) -> None:
    offline.corp.make("stranger", ISSUING, "root")
    offline.answer.write_bytes(offline.corp.path("stranger.pem").read_bytes())


def other_root(offline: Offline) -> None:
    offline.corp.make("other", ROOT)
    offline.sign(signer="other")


UNFIT: dict[str, tuple[Callable[[Offline], None], str]] = {
    "another key": (stranger, "'CN=stranger,O=Corp' is for another key than the CSR issuing-1.csr"),
    "CA:FALSE": (lambda offline: offline.sign(extensions="basicConstraints=critical,CA:FALSE\n"), "is not a CA (no basic constraints with CA:TRUE)"),
    "a leaf": (lambda offline: offline.sign(extensions="keyUsage=digitalSignature\n"), "is not a CA"),
    "no keyCertSign": (
        lambda offline: offline.sign(extensions=ISSUING.replace("keyCertSign,", "")), "its key usage has no keyCertSign"
    ),
    "another root": (other_root, "is not signed by the root 'CN=root,O=Corp'"),
    "another name": (lambda offline: offline.sign(subject="/CN=Somebody"), "'CN=Somebody' has another common name than the CSR"),
    "too short": (lambda offline: offline.sign(days=60), "before a certificate of 90d would"),
    "truncated": (lambda offline: (offline.sign(), offline.answer.write_bytes(offline.answer.read_bytes()[:-40]))[0], "truncated"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNFIT)
def test_an_answer_that_is_not_fit_is_refused(what: str, tmp_path: Path) -> None:
    answer, words = UNFIT[what]
    offline = Offline(tmp_path)
    offline.issuer().prepare(NOW)
    answer(offline)
    before = snapshot(offline.store)
    for work in (offline.issuer().unprepared, offline.issuer().prepare, lambda now: issued(offline.issuer(), now)):
        with pytest.raises(CertificateError) as caught:
            work(NOW)
        assert words in str(caught.value) and "issuing: " in str(caught.value)
    assert snapshot(offline.store) == before
    # The right one is taken all the same.
    offline.sign()
    offline.issuer().prepare(NOW)
    assert by_openssl(offline.issuer(), chain_of(offline.issuer()), tmp_path) == "OK"


def test_a_keeper_may_add_to_the_name_and_send_the_chain(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    offline.issuer().prepare(NOW)
    offline.sign(subject=f"/O=Corp/CN=internal CA Issuing {NOW:%Y-%m}")
    offline.answer.write_bytes(offline.answer.read_bytes() + offline.corp.path("root.pem").read_bytes())
    offline.issuer().prepare(NOW)
    assert by_openssl(offline.issuer(), chain_of(offline.issuer()), tmp_path) == "OK"


def test_the_next_one_is_asked_for_in_time(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    offline.issuer().prepare(NOW)
    offline.sign()
    offline.issuer().prepare(NOW)
    first = chain_of(offline.issuer())
    # A third of its life is left.
    later = NOW + 500 * DAY
    assert offline.issuer().signature_wanted(later) is None
    assert "a key and a CSR for the next one are made" in str(offline.issuer().unprepared(later))
    # Who only issues does not ask.
    chain_of(offline.issuer(), later)
    assert not offline.csr("issuing-2").exists()
    offline.issuer().prepare(later)
    wanted = offline.issuer().signature_wanted(later)
    assert wanted and "issuing-2.csr; the present issuing CA expires on" in wanted.message
    # The last answer lies there still, and everything goes on.
    assert offline.issuer().unprepared(later) is None
    assert chain_of(offline.issuer(), later)[1] == first[1]
    # One that is not fit is said, and costs nothing as long as the present CA serves.
    stranger(offline)
    assert offline.issuer().unprepared(later) is None
    assert "is for another key than the CSR issuing-2.csr" in str(offline.issuer().waits_for(later))
    offline.issuer().prepare(later)
    assert chain_of(offline.issuer(), later)[1] == first[1]
    with pytest.raises(CertificateError):
        offline.issuer().prepare(NOW + 700 * DAY)
    offline.sign("issuing-2", days=1300)
    offline.issuer().prepare(later)
    state = offline.issuer().state()
    assert state and (state.root, state.issuing, state.waiting) == ("root-1", "issuing-2", None)
    request = make_request(make_spec(usages=["client_auth"]), request_id="request-0002")
    (after,) = offline.issuer().issue([request], later)
    assert isinstance(after, Issued) and after.chain[1] != first[1]
    assert by_openssl(offline.issuer(), after.chain, tmp_path, later) == "OK"
    assert set(offline.issuer().in_use(later)) == {"root-1", "issuing-1", "issuing-2"}


def test_an_issuing_ca_with_its_key_below_a_root_without(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    corp = offline.corp
    corp.make("issuing", ISSUING, "root", days=800)
    offline.answer.write_bytes(corp.path("issuing.pem").read_bytes())
    issuing = {"certificate": str(offline.answer), "key": str(corp.path("issuing.key"))}
    # Without the key, somebody may have forgotten it.
    with pytest.raises(CertificateError, match="there is no key of 'CN=issuing,O=Corp'"):
        offline.issuer().unprepared(NOW)
    issuer = offline.issuer(issuing=issuing)
    issuer.prepare(NOW)
    assert by_openssl(issuer, chain_of(issuer), tmp_path) == "OK"
    # The next one comes to the same place.
    later = NOW + 600 * DAY
    offline.issuer(issuing=issuing).prepare(later)
    offline.sign("issuing-2", days=1400)
    offline.issuer(issuing=issuing).prepare(later)
    assert offline.issuer().state().issuing == "issuing-2"  # type: ignore[union-attr]


def test_the_roots_own_list_is_taken_and_kept_new(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    offline.corp.database()
    crl = offline.corp.crl("root", days=30)
    offline.options["root"]["crl"] = str(crl)
    offline.issuer().prepare(NOW)
    offline.sign()
    offline.issuer().prepare(NOW)
    issuer = offline.issuer()
    chain = chain_of(issuer)
    lists = "".join(map(crl_to_pem, issuer.crls(NOW)))
    assert verdict(tmp_path, chain, to_pem(issuer.trust()[0]), lists, NOW) == "OK"

    def number() -> int | None:
        (own,) = [each for each in offline.issuer().crls(NOW, renew=False) if is_crl_of(each, issuer.trust()[0])]
        return crl_number(own)

    assert number() == 0x2A and issuer.crls_due(NOW) is None
    later = NOW + 25 * DAY
    assert f"have the root's keeper sign the next one, and put it to {crl}" in str(issuer.waits_for(later))
    offline.corp.path("crlnumber").write_text("30\n")
    # One of another CA is not taken, and costs nothing; nor does one that is not there.
    kept = crl.read_bytes()
    offline.corp.make("other", ROOT)
    offline.corp.crl("other")
    assert number() == 0x2A and offline.issuer().crls_due(NOW) is None
    crl.unlink()
    assert len(offline.issuer().crls(NOW)) == 2
    crl.write_bytes(kept)
    # By its date it is newer, whatever the clock of this test says.
    offline.corp.ca("root", "-gencrl", "-crl_lastupdate", f"{NOW:%Y%m%d%H%M%SZ}", "-crldays", 60, "-out", crl)
    assert "a newer CRL of root-1 is there" in str(offline.issuer().crls_due(later))
    offline.issuer().crls(later)
    assert number() == 0x31 and offline.issuer().waits_for(later) is None


def test_the_roots_newest_list_counts_whoever_has_it(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    corp = offline.corp
    corp.database()
    corp.issue("root", "gone")
    corp.revoke("root", "gone")
    offline.options["root"]["crl"] = str(corp.crl("root"))
    offline.issuer().prepare(NOW)
    (kept,) = offline.issuer().crls(NOW)
    # The next one does not list what has ended.
    corp.path("index.txt").write_text("")
    path = corp.path("next.pem")
    corp.ca("root", "-gencrl", "-crl_lastupdate", f"{NOW:%Y%m%d%H%M%SZ}", "-crldays", 60, "-out", path)
    (newer,) = parse_pem_crls(path.read_text())
    (said,) = offline.issuer().take_over_crls([kept, newer], NOW)
    assert "the store has taken it" in said and offline.issuer().crls(NOW) == (newer,)
    # A host that has the old one still does not bring it back.
    assert offline.issuer().take_over_crls([kept], NOW) == () and offline.issuer().crls(NOW) == (newer,)


def test_a_root_without_a_list_asks_for_none(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    offline.issuer().prepare(NOW)
    offline.sign()
    offline.issuer().prepare(NOW)
    assert offline.issuer().crl_authorities(NOW) == (offline.issuer().certificate("issuing-1"),)
    assert offline.issuer().waits_for(NOW) is None and offline.issuer().crls_due(NOW) is None


def test_our_own_root_gives_way_to_one_whose_key_is_elsewhere(tmp_path: Path) -> None:
    make_issuer(tmp_path / "store").prepare(NOW)
    before = chain_of(make_issuer(tmp_path / "store"))
    offline = Offline(tmp_path)
    rollover = offline.issuer().rollover()
    root = rollover.next_root()
    for _time in range(2):
        with pytest.raises(RotationError) as caught:
            offline.issuer().rollover().prepare(root, NOW)
        assert "the rotation stays at 'prepare': the CA 'internal' waits for the signature of 'CN=root,O=Corp'" in str(
            caught.value
        )
        assert "issuing-2.csr" in str(caught.value)
    # Until then nothing has changed for anybody, and a look says what is waited for.
    assert chain_of(offline.issuer()) == before and offline.issuer().trust() == make_issuer(tmp_path / "store").trust()
    assert "issuing-2.csr" in str(offline.issuer().waits_for(NOW))
    offline.corp.sign(offline.csr("issuing-2"), "issuing-2", ISSUING, "root", days=800)
    offline.answer.write_bytes(offline.corp.path("issuing-2.pem").read_bytes())
    state = offline.issuer().rollover().prepare(root, NOW)
    assert state.successor == ("root-2", "issuing-2") and state.waiting is None
    assert set(offline.issuer().rollover().canaries(NOW)) == {"old", "new"}
    offline.issuer().rollover().activate()
    after = chain_of(offline.issuer())
    assert offline.issuer().superseded(before) and by_openssl(offline.issuer(), after, tmp_path) == "OK"
    offline.issuer().rollover().retire()
    assert offline.issuer().trust() == (offline.corp.certificate("root"),) and offline.issuer().waits_for(NOW) is None
    assert not (offline.store / "ca/internal/root-2.key").exists()


def test_from_one_outside_root_to_another(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    offline.issuer().prepare(NOW)
    offline.sign()
    before = chain_of(offline.issuer())
    better = ForeignCa(tmp_path / "better")
    better.make("root", ROOT, days=7300, subject="/CN=Better")
    offline.options["root"]["certificate"] = str(better.path("root.pem"))
    # The last answer lies there still, with its root.
    offline.answer.write_bytes(offline.answer.read_bytes() + offline.corp.path("root.pem").read_bytes())
    root = offline.issuer().rollover().next_root()
    with pytest.raises(RotationError, match="waits for the signature of 'CN=Better' under issuing-2.csr"):
        offline.issuer().rollover().prepare(root, NOW)
    csr = offline.csr("issuing-2").read_bytes()
    # Near its end, the present one is not asked for below the root that is to go: there is one CSR, that of the next.
    later = NOW + 500 * DAY
    assert offline.issuer().unprepared(later) is None
    offline.issuer().prepare(later)
    assert chain_of(offline.issuer(), later)[1] == before[1] and not offline.csr("issuing-3").exists()
    assert offline.csr("issuing-2").read_bytes() == csr and "'CN=Better'" in str(offline.issuer().waits_for(later))
    signed = better.sign(offline.csr("issuing-2"), "issuing-2", ISSUING, "root", days=1400)
    offline.answer.write_bytes(signed.read_bytes())
    offline.issuer().rollover().prepare(root, later)
    assert set(offline.issuer().rollover().canaries(later)) == {"old", "new"}
    offline.issuer().rollover().activate()
    offline.issuer().rollover().retire()
    request = make_request(make_spec(usages=["client_auth"]), request_id="request-0002")
    (after,) = offline.issuer().issue([request], later)
    assert isinstance(after, Issued) and by_openssl(offline.issuer(), after.chain, tmp_path, later) == "OK"
    assert offline.issuer().trust() == (better.certificate("root"),)


def test_a_rollover_that_waits_may_be_about_another_root_by_now(tmp_path: Path) -> None:
    make_issuer(tmp_path / "store").prepare(NOW)
    offline = Offline(tmp_path)
    root = offline.issuer().rollover().next_root()
    with pytest.raises(RotationError):
        offline.issuer().rollover().prepare(root, NOW)
    first = offline.csr("issuing-2").read_bytes()
    offline.corp.make("root", ROOT, days=7300, subject="/CN=Better")
    with pytest.raises(RotationError, match="waits for the signature of 'CN=Better' under issuing-3.csr"):
        offline.issuer().rollover().prepare(root, NOW)
    assert offline.csr("issuing-2").read_bytes() == first
    # Or about our own again.
    state = make_issuer(tmp_path / "store").rollover().prepare(root, NOW)
    assert (
        state.successor is not None
        and "internal CA 2 Root" in make_issuer(tmp_path / "store").certificate("root-2").subject.rfc4514_string()
    )


def test_from_an_outside_root_the_next_one_has_to_be_named(tmp_path: Path) -> None:
    offline = Offline(tmp_path)
    offline.issuer().prepare(NOW)
    with pytest.raises(IssuerError, match="does not exist yet"):
        offline.issuer().rollover().next_root()
    offline.sign()
    before = chain_of(offline.issuer())
    with pytest.raises(RotationError) as caught:
        offline.issuer().rollover().next_root()
    assert "Name the next root in tls_issuers.internal.root, or take root out" in str(caught.value)
    # Taken out: one is made here.
    own = make_issuer(offline.store)
    own.rollover().prepare(own.rollover().next_root(), NOW)
    own.rollover().activate()
    after = chain_of(make_issuer(offline.store))
    assert after[0] != before[0] and by_openssl(own, after, tmp_path) == "OK"


def test_a_run_that_ends_anywhere_while_it_asks_or_takes_the_answer(tmp_path: Path) -> None:
    for puts in range(1, 30):
        offline = Offline(tmp_path / str(puts))
        asking = ended_after(offline.issuer(), puts)
        offline.issuer().prepare(NOW)
        offline.sign()
        taking = ended_after(offline.issuer(), puts)
        assert by_openssl(offline.issuer(), chain_of(offline.issuer()), tmp_path) == "OK"
        state = offline.issuer().state()
        assert state and (state.issuing, state.waiting, state.made) == ("issuing-1", None, 1)
        if not asking and not taking:
            break
    assert puts > 4 and not asking


def ended_after(issuer: CaIssuer, puts: int) -> bool:
    """Prepare it in a run that ends when the store has been written to so many times; False: it was done before."""
    return killed_after_puts(issuer.store, puts, lambda: issuer.prepare(NOW))


def test_only_a_root_that_was_adopted_may_be_named_without_its_file(tmp_path: Path) -> None:
    make_issuer(tmp_path / "store").prepare(NOW)
    issuer = make_issuer(tmp_path / "store", root={"certificate": str(tmp_path / "mistyped.pem")})
    assert issuer.waits_for(NOW) is None
    with pytest.raises(TlsError, match=r"cannot read .*mistyped.pem"):
        issuer.rollover().prepare("root-2", NOW)


def test_a_root_in_openbao_signs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = Offline(tmp_path)
    asked: list[tuple[int, str]] = []

    def sign(
        csr: x509.CertificateSigningRequest, root: x509.Certificate, lifetime: int, now: dt.datetime
    ) -> x509.Certificate:
        asked.append((lifetime, root.subject.rfc4514_string()))
        if refuse:
            raise IssuerError("sealed", remedy="unseal it")
        path = offline.corp.path("bao.csr")
        path.write_bytes(csr.public_bytes(serialization.Encoding.PEM))
        signed = offline.corp.sign(path, "bao", ISSUING, "root", days=730 if now < NOW + DAY else 1300)
        return x509.load_pem_x509_certificate(signed.read_bytes())

    monkeypatch.setattr(
        "ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca.openbao_root", lambda raw, where: sign
    )
    offline.options = {"root": {**offline.options["root"], "openbao": {"mount": "pki"}}}
    refuse = True
    with pytest.raises(IssuerError, match="sealed"):
        offline.issuer().prepare(NOW)
    refuse = False
    offline.issuer().prepare(NOW)
    assert asked[-1] == (730 * 86400, "CN=root,O=Corp")
    first = chain_of(offline.issuer())
    assert by_openssl(offline.issuer(), first, tmp_path) == "OK"
    # In time, and where it cannot, the present one goes on and the reason is said.
    later, refuse, count = NOW + 600 * DAY, True, len(asked)
    assert "OpenBao signs the next one" in str(offline.issuer().unprepared(later))
    chain_of(offline.issuer(), later)
    assert len(asked) == count
    issuer = offline.issuer()
    issuer.prepare(later)
    assert "sealed" in str(issuer.waits_for(later))
    refuse = False
    offline.issuer().prepare(later)
    assert offline.issuer().state().issuing == "issuing-2"  # type: ignore[union-attr]
