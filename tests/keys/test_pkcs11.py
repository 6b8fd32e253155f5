# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CA keys in tokens of SoftHSM2: made, used and replaced there, whatever the token does."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pkcs11 as pkcs11_library
import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import KeyUnavailable, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.foreign import public_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_algorithm, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.verify_entries import entry_findings
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.key.pkcs11 import load, text_of
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    killed_after_puts,
    make_issuer,
    make_request,
    make_spec,
    make_store,
    snapshot,
)
from keys.apart import all_apart, apart
from keys.softhsm import MODULE, PIN, Token, make_token

LOCKED, FINAL_TRY = 0x00040000, 0x00020000
WRONG = "111111"


def issue(ca: CaIssuer, now: dt.datetime = NOW, **request: Any) -> Issued:
    """One certificate."""
    (answer,) = ca.issue([make_request(**request)], now)
    if isinstance(answer, TlsError):
        raise answer
    return answer


def refusal(work: Callable[[], Any]) -> str:
    """What a key that cannot be used says; anything else is raised."""
    try:
        work()
    except KeyUnavailable as error:
        return str(error)
    return ""


def in_token(where: Token, /, *roles: str, **changes: Any) -> dict[str, Any]:
    """The option ``keys``."""
    return {"keys": {role: where.options(**changes) for role in roles}}


def objects(token: Token) -> list[dict[str, Any]]:
    """The private keys in a token, as the token tells of them."""

    def look() -> list[dict[str, Any]]:
        session = next(iter(pkcs11_library.lib(MODULE).get_tokens(token_label="fleet"))).open(user_pin=PIN)
        names = ("LABEL", "EXTRACTABLE", "NEVER_EXTRACTABLE", "SENSITIVE", "SIGN")
        kinds = {pkcs11_library.Attribute.CLASS: pkcs11_library.ObjectClass.PRIVATE_KEY}
        return [{name: each[pkcs11_library.Attribute[name]] for name in names} for each in session.get_objects(kinds)]

    return sorted(apart(token.environment, look), key=lambda each: str(each["LABEL"]))


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
def test_a_ca_whose_keys_are_in_a_token(token: Token, tmp_path: Path, algorithm: str) -> None:
    def work() -> list[str]:
        ca = make_issuer(tmp_path / "store", key_algorithm=algorithm, **in_token(token, "root", "issuing"))
        chain = issue(ca, spec=make_spec(usages=["server_auth", "client_auth"])).chain
        return [to_pem(each) for each in (*chain, *ca.trust())] + [crl_to_pem(each) for each in ca.crls(NOW)]

    leaf, issuing, root, *crls = apart(token.environment, work)
    chain = [x509.load_pem_x509_certificate(each.encode()) for each in (leaf, issuing)]
    assert verdict(tmp_path, chain, root, "".join(crls), NOW + DAY) == "OK"
    assert key_algorithm(x509.load_pem_x509_certificate(root.encode()).public_key()) == algorithm
    # The keys never were outside, and only what finds them is in the store.
    assert [each["LABEL"] for each in objects(token)] == ["fleet-tls-internal-issuing-1", "fleet-tls-internal-root-1"]
    for each in objects(token):
        assert (each["EXTRACTABLE"], each["NEVER_EXTRACTABLE"], each["SENSITIVE"], each["SIGN"]) == (
            False,
            True,
            True,
            True,
        )
    assert not list((tmp_path / "store").rglob("*.key"))
    noted = json.loads((tmp_path / "store/ca/internal/root-1.key.json").read_text())
    assert noted["reference"]["uri"].startswith("pkcs11:token=fleet;serial=") and PIN not in str(noted)


def test_root_in_a_token_and_issuing_ca_in_the_store(token: Token, tmp_path: Path) -> None:
    options = in_token(token, "root")
    apart(token.environment, lambda: len(issue(make_issuer(tmp_path / "store", **options)).chain))
    assert [each["LABEL"] for each in objects(token)] == ["fleet-tls-internal-root-1"]
    before = snapshot(tmp_path / "store", ("locks", ".gitignore", "ledger.sqlite3", "ca"))
    # The token lies in a safe: certificates, and revocation lists of the issuing CA, go on; half of its life later, so does the CA.
    token.pull_out()
    later = NOW + 500 * DAY

    def without() -> tuple[int, str | None, str, list[int]]:
        ca = make_issuer(tmp_path / "store", **options)
        chain, crls = issue(ca, later, request_id="request-0002").chain, ca.crls(later)
        return len(chain), ca.waits_for(later), str(ca.authorities()), [each.next_update_utc > later for each in crls]

    count, waits, _names, fresh = apart(token.environment, without)
    assert count == 2 and "let the key of root-1 be used (no token is there that pkcs11:token=fleet names" in str(waits)
    assert (
        fresh.count(True) >= 1
        and snapshot(tmp_path / "store", ("locks", ".gitignore", "ledger.sqlite3", "ca")) == before
    )

    token.put_in()

    def again() -> tuple[str, str | None]:
        ca = make_issuer(tmp_path / "store", **options)
        ca.prepare(later)
        return str(ca.state().issuing), ca.waits_for(later)  # type: ignore[union-attr]

    assert apart(token.environment, again) == ("issuing-2", None)


def test_an_issuing_key_that_is_pulled_out_costs_nothing_that_is_there(token: Token, tmp_path: Path) -> None:
    options = in_token(token, "issuing")
    apart(token.environment, lambda: len(issue(make_issuer(tmp_path / "store", **options)).chain))
    token.pull_out()
    before = snapshot(tmp_path / "store", ("locks", ".gitignore", "listed.json"))

    def without(now: dt.datetime) -> list[Any]:
        ca = make_issuer(tmp_path / "store", **options)
        return [refusal(lambda: issue(ca, now, request_id="request-0002")), refusal(lambda: ca.crls(now))]

    # Its revocation list is due at half its life, and must be had before its last quarter.
    words, list_words = apart(token.environment, lambda: without(NOW + 4 * DAY))
    assert "no token is there that pkcs11:token=fleet names" in words and "Put it in" in words and not list_words
    assert snapshot(tmp_path / "store", ("locks", ".gitignore", "listed.json")) == before


def test_replaced_in_the_token(token: Token, tmp_path: Path) -> None:
    options = in_token(token, "root", "issuing")

    def work() -> dict[str, Any]:
        ca = make_issuer(tmp_path / "store", cross_certificates=True, **options)
        first = issue(ca)
        rollover = ca.rollover()
        rollover.prepare("root-2", NOW)
        proofs = rollover.canaries(NOW)
        rollover.activate()
        second = issue(ca, request_id="request-0002")
        rollover.retire()
        return {
            "proofs": sorted(proofs),
            "sent": len(second.chain),
            "old": rollover.superseded(first.chain),
            "places": [str(ca.key_place(each)).split(";object=")[1] for each in ("root-1", "root-2", "issuing-2")],
        }

    seen = apart(token.environment, work)
    assert seen["proofs"] == ["new", "old"] and seen["sent"] == 3
    assert [each.partition(";")[0] for each in seen["places"]] == [
        f"fleet-tls-internal-{n}" for n in ("root-1", "root-2", "issuing-2")
    ]
    assert len(objects(token)) == 4 and not list((tmp_path / "store").rglob("*.key"))


def test_from_one_token_to_another(token: Token, tmp_path: Path) -> None:
    apart(
        token.environment,
        lambda: len(issue(make_issuer(tmp_path / "store", path_length=2, **in_token(token, "root"))).chain),
    )
    # From now on new keys are made in the store, and the old root is needed for what leads to the new one.
    unnamed = apart(
        token.environment, lambda: make_issuer(tmp_path / "store", cross_certificates=True).key_problem("root-1")
    )
    assert "a key was made by 'pkcs11'" in unnamed and "which keys does not name" in unnamed

    def work() -> list[str]:
        ca = make_issuer(tmp_path / "store", cross_certificates=True, keys={"earlier": [token.options()]})
        ca.rollover().prepare("root-2", NOW)
        return [str(ca.key_place(each)).partition(" ")[0] for each in ("root-1", "root-2")]

    assert apart(token.environment, work) == ["pkcs11", "store"] and len(objects(token)) == 1


def test_whose_a_key_is_takes_no_login(token: Token, tmp_path: Path) -> None:
    keys = {"root": token.options(spied=True), "issuing": token.options(spied=True, timeout="61s")}
    apart(token.environment, lambda: len(issue(make_issuer(tmp_path / "store", keys=keys)).chain))
    before = token.calls("C_Login")
    ca = make_issuer(tmp_path / "store", keys=keys)
    assert apart(token.environment, lambda: [ca.has_key(each) for each in ("root-1", "issuing-1")]) == [True, True]
    assert token.calls("C_Login") == before > 0


def test_eight_forks_send_a_wrong_pin_once(token: Token, tmp_path: Path) -> None:
    options = in_token(token, "issuing", spied=True)
    apart(token.environment, lambda: len(issue(make_issuer(tmp_path / "store", **options)).chain))
    before = token.calls("C_Login")

    def tries(pin: str) -> list[str]:
        wrong = in_token(token, "issuing", spied=True, pin=pin)

        def work(number: int) -> str:
            return refusal(lambda: issue(make_issuer(tmp_path / "store", **wrong), request_id=f"request-1{number:03}"))

        return all_apart(token.environment, [lambda number=number: work(number) for number in range(8)])

    words = tries(WRONG)
    assert all("refused the PIN" in each and WRONG not in each for each in words)
    assert sum("was not sent again" in each for each in words) == 7
    assert token.calls("C_Login") == before + 1
    # Nor by any later run, until it differs: then once more.
    assert all("was not sent again" in each for each in tries(WRONG)) and token.calls("C_Login") == before + 1
    tries("222222")
    assert token.calls("C_Login") == before + 2
    noted = next((tmp_path / "store/tokens").iterdir())
    assert set(json.loads(noted.read_text())) == {"version", "token", "salt", "digest"}
    assert not any(each in noted.read_text() for each in (WRONG, "222222", PIN))
    # The right one: each fork has a session of its own, and what was noted is gone.
    assert tries(PIN) == [""] * 8
    assert token.calls("C_Login") == before + 10 and not noted.exists()


def test_a_token_that_is_named_in_two_ways_is_sent_a_wrong_pin_once(token: Token, tmp_path: Path) -> None:
    spied = token.options(spied=True, pin=WRONG)

    def work() -> list[str]:
        serial = text_of(next(iter(load(spied["module"]).get_tokens(token_label="fleet"))).serial)
        ways = ("pkcs11:token=fleet", f"pkcs11:serial={serial}", f"pkcs11:token=fleet;serial={serial}")
        return [
            refusal(lambda: issue(make_issuer(tmp_path / "store", keys={"root": {**spied, "token": way}})))  # noqa: B023
            for way in ways
        ]

    words = apart(token.environment, work)
    assert ["was not sent again" in each for each in words] == [False, True, True]
    assert token.calls("C_Login") == 1


@pytest.mark.parametrize(
    ("flag", "words"), [(LOCKED, "is locked"), (FINAL_TRY, "would lock itself after one more wrong PIN")]
)
def test_a_locked_token_is_sent_no_pin(token: Token, tmp_path: Path, flag: int, words: str) -> None:
    options = in_token(token, "issuing", spied=True)
    apart(token.environment, lambda: len(issue(make_issuer(tmp_path / "store", **options)).chain))
    before = token.calls("C_Login")
    token.flag(flag)
    said = apart(
        token.environment,
        lambda: refusal(lambda: issue(make_issuer(tmp_path / "store", **options), request_id="request-0002")),
    )
    assert words in said and token.calls("C_Login") == before > 0


def test_a_token_that_does_not_answer(token: Token, tmp_path: Path) -> None:
    apart(token.environment, lambda: len(issue(make_issuer(tmp_path / "store", **in_token(token, "issuing"))).chain))
    # SoftHSM2 waits for whoever else writes to the token.
    with (token.objects / "token.lock").open("r+b") as lock, (token.objects / "generation").open("r+b") as generation:
        for each in (lock, generation):
            fcntl.lockf(each, fcntl.LOCK_EX)
        begun = time.monotonic()

        def work() -> list[str]:
            ca = make_issuer(tmp_path / "store", **in_token(token, "issuing", timeout="2s"))
            return [refusal(lambda: issue(ca, request_id=f"request-1{number:03}")) for number in range(100)]  # noqa: B023

        words = apart(token.environment, work)
    # It is waited for once, not once a certificate.
    assert set(words) == {words[0]} and "did not answer within 2 s" in words[0]
    assert time.monotonic() - begun < 180


def test_a_session_does_not_cross_a_fork(token: Token, tmp_path: Path) -> None:
    def work() -> tuple[int, int]:
        ca = make_issuer(tmp_path / "store", **in_token(token, "issuing", spied=True))
        issue(ca)
        # The very object that has a session goes along into the forks.
        inside = all_apart(
            {}, [lambda number=number: len(issue(ca, request_id=f"request-1{number:03}").chain) for number in range(3)]
        )
        return sum(inside), len(issue(ca, request_id="request-0003").chain)

    assert apart(token.environment, work) == (6, 2)
    assert token.calls("C_Initialize") == 4 and token.calls("C_Login") == 4


def test_a_killed_run_leaves_one_key_and_not_two(token: Token, tmp_path: Path) -> None:
    options = in_token(token, "root", "issuing")

    def work() -> bool:
        ca = make_issuer(tmp_path / "store", **options)
        # After passphrase.json and what notes the root's key.
        return killed_after_puts(ca.store, 3, lambda: issue(ca))

    assert apart(token.environment, work) is True
    left = len(objects(token))
    apart(token.environment, lambda: len(issue(make_issuer(tmp_path / "store", **options)).chain))
    assert left >= 1 and len(objects(token)) == 2


def test_a_ca_that_is_in_a_token_already_is_adopted(token: Token, tmp_path: Path) -> None:
    def make() -> str:
        # Somebody else's root: its key is in the token, its certificate in a file.
        ca = make_issuer(tmp_path / "theirs", **in_token(token, "root"))
        issue(ca)
        return str(ca.key_record("root-1").reference["uri"])  # type: ignore[union-attr]

    uri = apart(token.environment, make)
    root = {"certificate": str(tmp_path / "theirs/ca/internal/root-1.pem"), "key_name": uri}
    options = {"root": root, **in_token(token, "root")}

    def adopt() -> tuple[str | None, int, str | None]:
        ca = make_issuer(tmp_path / "store", **options)
        told = ca.unprepared(NOW)
        chain = issue(ca).chain
        return told, len(chain), ca.key_place("root-1")

    told, count, place = apart(token.environment, adopt)
    assert "is adopted, and an issuing CA is made" in str(told) and count == 2 and place == f"pkcs11 {uri}"
    # What does not fit is refused, and nothing of it is kept.
    other = tmp_path / "other.pem"
    other.write_text(to_pem(make_root("Other", "ecdsa-p256", NOW, 900 * DAY).certificate))
    options["root"] = {**root, "certificate": str(other)}

    def refuse() -> str:
        with pytest.raises(TlsError) as caught:
            issue(make_issuer(tmp_path / "third", **options))
        return str(caught.value)

    assert "the private key does not belong to" in apart(token.environment, refuse)
    assert not (tmp_path / "third/ca/internal").exists()


def test_what_the_store_is_asked_about_keys_elsewhere(token: Token, tmp_path: Path) -> None:
    apart(token.environment, lambda: len(issue(make_issuer(tmp_path / "store", **in_token(token, "root"))).chain))
    store = make_store(tmp_path / "store")
    # Without the token: what it has of the key is enough.
    assert list(entry_findings(store)) == []
    noted = tmp_path / "store/ca/internal/root-1.key.json"
    content = json.loads(noted.read_text())
    noted.write_text(json.dumps({**content, "public_key": public_pem(generate_key("ecdsa-p256").public_key())}))
    (finding,) = entry_findings(store)
    assert (finding.code, finding.about) == ("key_mismatch", "ca/internal/root-1.key.json")
    noted.write_text("{}")
    assert [each.code for each in entry_findings(store)] == ["damaged"]


def pkcs11(**changes: Any) -> dict[str, Any]:
    """A provider that fits, less what ``changes`` say."""
    given = {"type": "pkcs11", "module": "/x.so", "token": "pkcs11:token=a", "pin": "1", **changes}
    return {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keys": {"root": "nowhere"}}, "there is no key type 'nowhere'"),
        ({"keys": {"leaf": "store"}}, "unknown option 'leaf'"),
        ({"keys": {"root": pkcs11(module="x.so")}}, "module is missing or no absolute path"),
        ({"keys": {"root": pkcs11(token="fleet")}}, "is no PKCS#11 URI"),
        ({"keys": {"root": pkcs11(token="pkcs11:token=a?pin-value=1")}}, "PIN does not belong"),
        ({"keys": {"root": pkcs11(pin=None)}}, "give one of pin, pin_file, pin_env"),
        ({"key_algorithm": "ed448", "keys": {"root": pkcs11()}}, "makes no keys of the algorithm ed448"),
        ({"root": {"certificate": "/a.pem", "key_name": "pkcs11:object=a"}}, "nothing says where"),
        ({"root": {"certificate": "/a.pem", "key_name": "pkcs11:"}, "keys": {"root": pkcs11()}}, "does not name a key"),
        (
            {"root": {"certificate": "/a.pem", "key": "/a.key"}, "keys": {"root": pkcs11()}},
            "a key is not carried there",
        ),
    ],
)
def test_bad_input(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_issuer(tmp_path / "store", **options)
    assert words in str(caught.value)


def test_what_is_missing_is_named(token: Token, tmp_path: Path) -> None:
    def words(**changes: Any) -> str:
        return apart(
            token.environment,
            lambda: refusal(lambda: issue(make_issuer(tmp_path / "store", **in_token(token, "root", **changes)))),
        )

    assert "the PKCS#11 module /nowhere.so cannot be loaded" in words(module="/nowhere.so")
    assert "the environment variable NO_SUCH_PIN is not set" in words(pin=None, pin_env="NO_SUCH_PIN")
    assert "no token is there that pkcs11:token=other names" in words(token="pkcs11:token=other")
    assert not (tmp_path / "store/ca/internal/ca.json").exists()


def test_two_tokens_of_one_name(token: Token, tmp_path: Path) -> None:
    other = make_token(tmp_path / "other")
    other.objects.rename(token.folder / "tokens" / other.objects.name)
    words = apart(
        token.environment, lambda: refusal(lambda: issue(make_issuer(tmp_path / "store", **in_token(token, "root"))))
    )
    assert "2 tokens are there that pkcs11:token=fleet names" in words and "serial" in words
