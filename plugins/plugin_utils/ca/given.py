# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA that the user brings: the options ``root`` and ``issuing`` of issuer ``ca``, and what is in the files that they name.

Nothing is read before it is needed, and nothing of it once it is in the store: the files may be gone by then.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_path
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import is_crl_of, read_crls
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.index_txt import RevokedRow, parse_index
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.chosen import ChosenKeys
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import KeyProvider, KeysElsewhere, Reference
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.file_formats import (
    HandedOver,
    read_handed_over,
    read_key,
    read_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import parse_path_or_pem, read_file
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import is_issued_by, key_id, subject_text

# Has a CSR signed below a root for so many seconds.
Sign = Callable[[x509.CertificateSigningRequest, x509.Certificate, int, dt.datetime], x509.Certificate]

FIELDS = ("certificate", "key", "key_name", "passphrase", "crl", "index")
# In place of ``issuing``: the root issues by itself.
ROOT = "root"


@dataclass(frozen=True)
class GivenAuthority:
    """Where a CA is: paths, or the texts themselves; secrets are never part of a repr.

    :param what: how messages call it.
    :param key_name: what ``provider`` finds its key by, where the key is there and not in a file.
    """

    what: str
    certificate: str = field(repr=False)
    key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    crl: str | None = field(default=None, repr=False)
    index: str | None = None
    key_name: str | None = None
    provider: KeysElsewhere | None = None

    @property
    def brings_key(self) -> bool:
        """Whether the user says where its key is."""
        return self.key is not None or self.key_name is not None

    def is_there(self) -> bool:
        """Whether there is a certificate: the one that is waited for may not be."""
        return "-----BEGIN " in self.certificate or os.path.exists(self.certificate)

    def place(self, value: str) -> str:
        """What an option names, for messages: a path, or that it is a text."""
        return "the text in the inventory" if "-----BEGIN " in value else value

    def read(self) -> HandedOver:
        """Its certificates, and its key where it has one.

        :raises TlsError: a file cannot be read, or is not what it has to be; a passphrase is wrong.
        """
        with self.about("certificate"):
            found = read_handed_over(self.content(self.certificate, "certificate"), self.passphrase)
        if not found.certificates:
            raise CertificateError(f"{self.what}: there is no certificate in {self.place(self.certificate)}")
        if self.key_name is not None and self.provider is not None:
            return HandedOver(found.certificates, self.provider.open_key(self.provider.record(self.reference())))
        if self.key is None:
            return found
        with self.about("key"):
            private_key = key_of(self.content(self.key, "key"), self.passphrase)
        return HandedOver(found.certificates, private_key)

    def reference(self) -> Reference:
        """What finds the key that ``key_name`` names.

        :raises SpecError: that is no name of one.
        """
        if self.provider is None or self.key_name is None:
            raise SpecError(f"{self.what}: no key is named")
        return self.provider.adopt(self.key_name)

    def read_crl(self, certificate: x509.Certificate) -> x509.CertificateRevocationList | None:
        """Its newest revocation list; None: none is named.

        :raises TlsError: it cannot be read, or is of another CA than ``certificate``.
        """
        if self.crl is None:
            return None
        with self.about("crl"):
            own = [each for each in read_crls(self.content(self.crl, "crl")) if is_crl_of(each, certificate)]
        if not own:
            raise CertificateError(
                f"{self.what}: the CRL in {self.place(self.crl)} is not signed by '{subject_text(certificate)}'",
                remedy="give the CRL of this CA",
            )
        return max(own, key=lambda each: each.last_update_utc)

    def read_index(self) -> tuple[RevokedRow, ...]:
        """What its index has as revoked; errors as :meth:`read`."""
        if self.index is None:
            return ()
        with self.about("index"):
            return parse_index(read_file(self.index, f"{self.what}: index").decode(errors="replace"))

    @property
    def note(self) -> str:
        """What names it in the store; of a text that is not told, as a key may be in it."""
        return "" if "-----BEGIN " in self.certificate else self.certificate

    def content(self, value: str, option: str) -> bytes:
        """:raises StoreError: a file cannot be read."""
        return value.encode() if "-----BEGIN " in value else read_file(value, f"{self.what}: {option}")

    @contextlib.contextmanager
    def about(self, option: str) -> Iterator[None]:
        """Errors inside are told of one of its options."""
        try:
            yield
        except CertificateError as error:
            place = self.place(str(getattr(self, option)))
            raise CertificateError(
                f"{self.what}: {option}: {error.message} ({place})", remedy=error.remedy or "nothing was changed"
            ) from None


@dataclass(frozen=True)
class GivenCa:
    """A root, and the CA below it that issues.

    :param issuing: None: one is made, or the root issues by itself.
    :param single_tier: the user says that it does.
    :param sign: has the root's key, elsewhere, sign a CSR; None: somebody does it by hand.
    """

    root: GivenAuthority
    issuing: GivenAuthority | None = None
    single_tier: bool = False
    sign: Sign | None = field(default=None, repr=False)

    def root_certificate(self) -> x509.Certificate:
        """The root as it is named now; errors as :meth:`GivenAuthority.read`."""
        # Which one it is can be told without its key, which would have to be asked for in a token.
        root = replace(self.root, key_name=None) if self.root.key_name else self.root
        return own_certificate(root.read(), self.root.what)


def own_certificate(found: HandedOver, what: str) -> x509.Certificate:
    """The CA's own one among the certificates of its file: that of its key, or else the root.

    :raises CertificateError: the key belongs to none of them.
    """
    if found.private_key is None:
        roots = (each for each in found.certificates if is_issued_by(each, each))
        return next(roots, found.certificates[0])
    key = key_id(found.private_key.public_key())
    for each in found.certificates:
        if key_id(each.public_key()) == key:
            return each
    raise CertificateError(
        f"{what}: the private key does not belong to '{subject_text(found.certificates[0])}'",
        remedy="give the CA's own key; nothing was changed",
    )


def key_of(content: bytes, passphrase: str | None) -> Any:
    """A private key alone, or beside other things in a PEM text.

    :raises CertificateError: there is none, or it is locked.
    """
    if b"-----BEGIN " not in content:
        return read_key(content, passphrase)
    found = read_pem(content.decode("ascii", errors="replace"), passphrase).private_key
    if found is None:
        raise CertificateError("there is no private key in it")
    return found


def parse_given(fields: Fields, where: str, openbao: Callable[[Any, str], Sign], keys: ChosenKeys) -> GivenCa | None:
    """The options; None: the user brings no CA.

    :param openbao: makes what signs out of ``root.openbao``.
    :param keys: where keys are that are not in the store.
    :raises SpecError: they do not fit.
    """
    root, issuing = fields.get("root"), fields.get("issuing")
    if root is None:
        if issuing is not None:
            raise SpecError(f"{where}: issuing is given, and root is not", remedy="name the root that signed it")
        return None
    sign = None
    if isinstance(root, Mapping) and root.get("openbao") is not None:
        sign = openbao(root["openbao"], f"{where}: root: openbao")
        root = {name: value for name, value in root.items() if name != "openbao"}
    given_root = parse_authority(root, f"{where}: root", keys.by_role.get("root"))
    if sign and given_root.key is not None:
        raise SpecError(f"{where}: root has a key and openbao", remedy="leave out one of the two")
    if sign and issuing is not None and not isinstance(issuing, Mapping):
        raise SpecError(f"{where}: a root in OpenBao cannot issue by itself", remedy="leave out issuing")
    if issuing == ROOT:
        return GivenCa(given_root, single_tier=True)
    given_issuing = (
        None if issuing is None else parse_authority(issuing, f"{where}: issuing", keys.by_role.get("issuing"))
    )
    return GivenCa(given_root, given_issuing, sign=sign)


def parse_authority(raw: Any, what: str, provider: KeyProvider | None) -> GivenAuthority:
    """One of the two.

    :param provider: what its key is made by where it is made here; None: the store.
    :raises SpecError: it does not fit.
    """
    fields = Fields(raw, FIELDS, what)
    if not fields.get("certificate"):
        raise SpecError(f"{what}: certificate is missing", remedy="give its absolute path on the controller")
    key, crl, index = fields.get("key"), fields.get("crl"), fields.get("index")
    elsewhere = provider if isinstance(provider, KeysElsewhere) else None
    refuse_misplaced(fields, what, elsewhere)
    given = GivenAuthority(
        what,
        parse_path_or_pem(fields.get("certificate"), f"{what}: certificate"),
        None if key is None else parse_path_or_pem(key, f"{what}: key"),
        fields.text("passphrase"),
        None if crl is None else parse_path_or_pem(crl, f"{what}: crl"),
        None if index is None else parse_path(os.path.expanduser(str(index)), f"{what}: index"),
        fields.text("key_name"),
        elsewhere,
    )
    if given.key_name is not None:
        given.reference()
    return given


def refuse_misplaced(fields: Fields, what: str, elsewhere: KeysElsewhere | None) -> None:
    """:raises SpecError: the key is given in another way than its provider has keys."""
    role = what.rpartition(" ")[2]
    if fields.get("key_name") is not None and elsewhere is None:
        raise SpecError(f"{what}: key_name names a key, and nothing says where", remedy=f"set keys.{role}, or give key")
    if fields.get("key") is not None and elsewhere is not None:
        raise SpecError(
            f"{what}: key is a file, and keys.{role} is {elsewhere.place({})}: a key is not carried there",
            remedy=f"import it with the tool of that place and set key_name, or leave keys.{role} out until it is replaced",
        )
