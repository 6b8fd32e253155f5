# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key provider ``pkcs11``: keys in a token (an HSM, a smart card, SoftHSM2) by its PKCS#11 module. See docs/keys.md.

No session crosses a fork: each process loads the module and opens its own. A PIN is tried by one process at a time, under the store's
lock, and one that was refused is not sent again (``keys/refused_pins.py``).
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: In a token, such as an HSM, a smart card or SoftHSM2
description:
  - Keys are made in the token and never leave it.
  - A PIN that the token refuses is sent once, however many hosts there are, and by no later run until it is another one. See L(Keys, ../keys.md).
requirements:
  - python-pkcs11
options:
  module:
    description: The token's PKCS#11 library, an absolute path on the controller.
    type: path
    required: true
  token:
    description: Which token it is, as a PKCS#11 URI (RFC 7512) of C(token), C(serial), C(manufacturer) and C(model).
    type: str
    required: true
  pin:
    description: The PIN. Give it here, best from Ansible Vault, or in one of the next two.
    type: str
  pin_file:
    description: A file on the controller that has the PIN.
    type: path
  pin_env:
    description: An environment variable of the playbook that has the PIN.
    type: str
  timeout:
    description: How long the token may take for one answer.
    type: str
    default: 10s
"""
EXAMPLES = r"""
keys:
  root:
    type: pkcs11
    module: /usr/lib/softhsm/libsofthsm2.so
    token: "pkcs11:token=fleet;serial=04061e60e2cf5993"
    pin: "{{ vault_token_pin }}"
"""

import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    DependencyError,
    KeyUnavailable,
    SpecError,
    StoreBusy,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.secret_option import option_names_of, parse_secret
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import (
    KeysElsewhere,
    Reference,
    ToSign,
    no_such_key,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.patience import Pause, TooSlow, within
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.pkcs11_uri import Pkcs11Uri, parse_uri
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.refused_pins import RefusedPins, alone
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import UnsupportedAlgorithm, ed25519, serialization
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

T = TypeVar("T")

ID_BYTES = 16
# How many times the timeout a process waits for others to log in.
TURNS = 10
CURVES = {"ecdsa-p256": "secp256r1", "ecdsa-p384": "secp384r1"}
RSA_SIZES = {f"rsa-{size}": size for size in (2048, 3072, 4096)}
# CKA_EC_PARAMS of Ed25519 as a PrintableString (PKCS#11 3.0, 2.3.10), which modules of before its OID know too.
ED25519_PARAMETERS = b"\x13\x0cedwards25519"
# How DigestInfo begins, RFC 8017, 9.2, note 1.
DIGEST_INFO = {
    "sha256": "3031300d060960864801650304020105000420",
    "sha384": "3041300d060960864801650304020205000430",
    "sha512": "3051300d060960864801650304020305000440",
}
# In this process: module → the process that has initialized it; module and token → session; modules that hang.
INITIALIZED: dict[str, int] = {}
SESSIONS: dict[tuple[int, str, str], Any] = {}
STUCK: set[tuple[int, str]] = set()


class Pkcs11Keys(KeysElsewhere):
    """Options: ``module`` (a path), ``token`` (RFC 7512), ``pin``, ``pin_file`` or ``pin_env``, ``timeout``."""

    algorithms = (*CURVES, *RSA_SIZES, "ed25519")
    # A reference has the token's serial number.
    knows_its_own = True

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        self.module = os.path.expanduser(self.fields.text("module") or "")
        if not os.path.isabs(self.module):
            raise SpecError(
                f"{where}: module is missing or no absolute path",
                remedy="name the token's PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so",
            )
        self.token = parse_uri(self.fields.text("token") or "", f"{where}: token")
        self.pin = parse_secret(self.fields, "pin", where, required=True, whose=self.place({}))
        self.timeout = parse_timeout(self.fields.get("timeout", "10s"), f"{where}: timeout", 300)
        self.store: Store | None = None
        self.pause = Pause()

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("module", "token", *option_names_of("pin"), "timeout")

    def keep_in(self, store: Store) -> None:
        self.store = store

    def place(self, reference: Reference) -> str:
        return f"the token '{self.token.texts.get('token') or self.token}'"

    def holds(self, reference: Reference) -> bool:
        known = parse_uri(reference["uri"], self.where, key=True).token()
        return all(known.get(name, value) == value for name, value in self.token.token().items())

    def adopt(self, text: str) -> Reference:
        named = parse_uri(text, self.where, key=True)
        return {"uri": str(Pkcs11Uri({**self.token.token(), **named.texts, "type": "private"}, named.key_id))}

    def problem(self, reference: Reference) -> str | None:
        try:
            self.guarded(self.find_token)
        except (KeyUnavailable, DependencyError) as error:
            return error.message
        return None

    def make(self, label: str, algorithm: str) -> Reference:
        key_id = secrets.token_bytes(ID_BYTES)

        def work() -> Reference:
            session = self.session()
            generate(session, algorithm, key_id, label)
            token = session.token
            texts = {"token": token.label, "serial": text_of(token.serial), "object": label, "type": "private"}
            return {"uri": str(Pkcs11Uri({name: value for name, value in texts.items() if value}, key_id))}

        return self.guarded(work)

    def public_key(self, reference: Reference) -> Any:
        return self.guarded(lambda: public_key_of(self.find_key(reference, public=True)))

    def sign(self, reference: Reference, what: ToSign) -> bytes:
        return self.guarded(lambda: signature(self.find_key(reference), what))

    def find_key(self, reference: Reference, *, public: bool = False) -> Any:
        """A key's object.

        :raises KeyUnavailable: it is not there, or there are several.
        """
        import pkcs11

        uri = parse_uri(reference["uri"], self.where, key=True)
        kind = pkcs11.ObjectClass.PUBLIC_KEY if public else pkcs11.ObjectClass.PRIVATE_KEY
        try:
            return self.session().get_key(kind, label=uri.texts.get("object"), id=uri.key_id)
        except pkcs11.NoSuchKey:
            raise no_such_key(self.place(reference), reference["uri"]) from None
        except pkcs11.MultipleObjectsReturned:
            raise KeyUnavailable(
                f"{self.place(reference)} has several keys that {reference['uri']} names",
                remedy="name it by its id too",
            ) from None

    def session(self) -> Any:
        """This process' session with the token, logged in; made where there is none."""
        key = (os.getpid(), self.module, str(self.token))
        if key not in SESSIONS:
            SESSIONS[key] = self.login()
        return SESSIONS[key]

    def login(self) -> Any:
        """A new session. One process at a time, so that a wrong PIN is sent once, whoever has it.

        :raises KeyUnavailable: no token, it is locked, or the PIN is wrong or was refused before.
        """
        import pkcs11

        if self.store is None:
            raise KeyUnavailable(f"{self.place({})}: there is no store that could remember a refused PIN")
        pin = self.pin.read(KeyUnavailable, "PIN") if self.pin else ""
        # Each of many processes has its turn, and a token takes its time for each.
        with self.pause(alone(self.store, os.path.realpath(self.module), TURNS * self.timeout)):
            token = self.find_token()
            refuse_locked(token, self.place({}))
            # By what the token says of itself: root and issuing CA may name it in two ways, and it counts wrong PINs once.
            facts = {name: value for name, value in facts_of(token).items() if value}
            pins = RefusedPins(self.store, str(Pkcs11Uri(facts)))
            if pins.has(pin):
                raise refused(
                    self.place({}), f" before, and was not sent again ({pins.key} in {self.store.describe()})"
                )
            writable = not token.flags & pkcs11.TokenFlag.WRITE_PROTECTED
            try:
                session = token.open(rw=bool(writable), user_pin=pin)
            except pkcs11.UserAlreadyLoggedIn:
                # By another issuer of this process.
                return token.open(rw=bool(writable))
            except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked):
                pins.add(pin)
                raise refused(
                    self.place({}), f", and is not sent again ({pins.key} in {self.store.describe()})"
                ) from None
            pins.forget()
            return session

    def find_token(self) -> Any:
        """The token as it is now.

        :raises KeyUnavailable: it is not there, or several are.
        """
        wanted = self.token.token()
        found = [each for each in tokens(load(self.module)) if facts_of(each).items() >= wanted.items()]
        if len(found) != 1:
            several = f"{len(found)} tokens are" if found else "no token is"
            raise KeyUnavailable(
                f"{several} there that {self.token} names ({self.module})",
                remedy="name it by its serial too" if found else "put it in, and see that its service runs",
            )
        return found[0]

    def guarded(self, work: Callable[[], T]) -> T:
        """What the token is asked, in so much time and no more.

        :raises KeyUnavailable: it fails, or is too slow. :raises DependencyError: ``python-pkcs11`` is missing.
        """
        pkcs11 = import_pkcs11()
        stuck = (os.getpid(), self.module)
        try:
            if stuck in STUCK:
                raise TooSlow
            self.pause = Pause()
            return within(self.timeout, work, self.pause)
        except TooSlow:
            STUCK.add(stuck)
            raise KeyUnavailable(
                f"{self.place({})} did not answer within {self.timeout:g} s",
                remedy="see what keeps it, or raise timeout; what is installed was kept",
            ) from None
        except StoreBusy:
            STUCK.add(stuck)
            raise KeyUnavailable(
                f"{self.place({})}: other processes have been logging in for {TURNS * self.timeout:g} s",
                remedy="see what keeps the token, or raise timeout",
            ) from None
        except pkcs11.PKCS11Error as error:
            SESSIONS.pop((os.getpid(), self.module, str(self.token)), None)
            words = f"{type(error).__name__} {error}".strip()
            raise KeyUnavailable(
                f"{self.place({})}: {words}",
                remedy="see that the token is in, unlocked, and may do this; what is installed was kept",
            ) from None


def import_pkcs11() -> Any:
    """``python-pkcs11``.

    :raises DependencyError: it is missing.
    """
    try:
        import pkcs11
    except ImportError as error:
        raise DependencyError(
            f"keys in a token need the Python package 'python-pkcs11' on the controller ({error})",
            remedy="install it where ansible runs: pip install 'python-pkcs11>=0.10'",
        ) from None
    return pkcs11


def load(module: str) -> Any:
    """The module, initialized by this very process (PKCS#11 3.0, usage guide, 2.5.2): what its parent had is of no use to it.

    :raises KeyUnavailable: it cannot be loaded.
    """
    pkcs11 = import_pkcs11()
    try:
        library = pkcs11.lib(module)
    except (RuntimeError, OSError) as error:
        # What the module itself says has a class of its own.
        if type(error) not in (pkcs11.PKCS11Error, RuntimeError, OSError):
            raise
        raise KeyUnavailable(
            f"the PKCS#11 module {module} cannot be loaded: {error}",
            remedy="install the token's software on the controller",
        ) from None
    if INITIALIZED.setdefault(module, os.getpid()) != os.getpid():
        library.reinitialize()
        INITIALIZED[module] = os.getpid()
    return library


def tokens(library: Any) -> list[Any]:
    """Those that are in."""
    return [slot.get_token() for slot in library.get_slots(token_present=True)]


def facts_of(token: Any) -> dict[str, str]:
    """What RFC 7512 names a token by."""
    return {
        "token": token.label,
        "serial": text_of(token.serial),
        "manufacturer": token.manufacturer_id,
        "model": token.model,
    }


def text_of(serial: Any) -> str:
    """A serial number, which the library gives as bytes."""
    return serial.decode(errors="replace") if isinstance(serial, bytes) else str(serial)


def refuse_locked(token: Any, place: str) -> None:
    """:raises KeyUnavailable: the token takes no PIN any more, or would take no other one after this."""
    import pkcs11

    if token.flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
        raise KeyUnavailable(f"{place} is locked", remedy="unlock it with its own tool; what is installed was kept")
    if token.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
        raise KeyUnavailable(
            f"{place} would lock itself after one more wrong PIN, so none was sent",
            remedy="log in by hand, with pkcs11-tool --login --test, and run again",
        )


def refused(place: str, more: str) -> KeyUnavailable:
    """The PIN is wrong."""
    return KeyUnavailable(
        f"{place} refused the PIN{more}",
        remedy="give the right PIN; where the token takes this one by now, remove that entry",
    )


def generate(session: Any, algorithm: str, key_id: bytes, label: str) -> None:
    """Make a pair of keys whose private one never leaves the token."""
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    inside = {
        pkcs11.Attribute.SENSITIVE: True,
        pkcs11.Attribute.EXTRACTABLE: False,
        pkcs11.Attribute.PRIVATE: True,
    }
    common = {"id": key_id, "label": label, "store": True, "private_template": inside}
    # Nothing but signing.
    common["capabilities"] = pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY
    if algorithm in RSA_SIZES:
        session.generate_keypair(pkcs11.KeyType.RSA, RSA_SIZES[algorithm], **common)
        return
    edwards = algorithm == "ed25519"
    kind = pkcs11.KeyType.EC_EDWARDS if edwards else pkcs11.KeyType.EC
    curve = ED25519_PARAMETERS if edwards else encode_named_curve_parameters(CURVES[algorithm])
    parameters = session.create_domain_parameters(kind, {pkcs11.Attribute.EC_PARAMS: curve}, local=True)
    mechanism = pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else pkcs11.Mechanism.EC_KEY_PAIR_GEN
    parameters.generate_keypair(mechanism=mechanism, **common)


def public_key_of(key: Any) -> Any:
    """A public key object as ``cryptography`` has it.

    :raises KeyUnavailable: of a kind that has no use here.
    """
    import pkcs11
    from pkcs11.util.ec import encode_ec_public_key
    from pkcs11.util.rsa import encode_rsa_public_key

    try:
        if key.key_type == pkcs11.KeyType.RSA:
            return serialization.load_der_public_key(encode_rsa_public_key(key))
        if key.key_type == pkcs11.KeyType.EC:
            return serialization.load_der_public_key(encode_ec_public_key(key))
        if key.key_type == pkcs11.KeyType.EC_EDWARDS:
            return edwards_key(key[pkcs11.Attribute.EC_POINT])
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise KeyUnavailable(
        "the token has a key that is neither RSA, ECDSA nor Ed25519", remedy="name another one; nothing was changed"
    )


def edwards_key(point: bytes) -> Any:
    """CKA_EC_POINT of an Ed25519 key: the 32 bytes, in an OCTET STRING or as they are."""
    return ed25519.Ed25519PublicKey.from_public_bytes(point[2:] if len(point) == 34 else point)


def signature(key: Any, what: ToSign) -> bytes:
    """What the token signs: the digest where there is one, as not all tokens hash."""
    import pkcs11
    from pkcs11.util.ec import encode_ecdsa_signature

    if what.scheme == "ecdsa":
        return bytes(encode_ecdsa_signature(key.sign(what.digest, mechanism=pkcs11.Mechanism.ECDSA)))
    if what.scheme == "ed25519":
        return bytes(key.sign(what.data, mechanism=pkcs11.Mechanism.EDDSA))
    info = bytes.fromhex(DIGEST_INFO[what.hash_name]) + what.digest
    return bytes(key.sign(info, mechanism=pkcs11.Mechanism.RSA_PKCS))


PROVIDER = Pkcs11Keys
