# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuer ``ca``: the internal CA, a root and an issuing CA below it, both in the store. See docs/issuers/ca.md.

The root signs issuing CAs only, so its key is needed about every 16 months and may be kept elsewhere in between. The issuing
CA is replaced in time without any change of trust: clients know the root.
In ``plugin_utils/ca``, ``files.py`` tells where it lies in the store, ``making.py`` how it is made or adopted, ``rollover.py`` how the
root is replaced.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: An internal CA, a root and an issuing CA below it, in the store
description:
  - Signs certificates with a CA of your own. Without further options, root and issuing CA are made when they are first needed.
  - With O(root) and O(issuing) you bring a CA that exists, or a root whose key is somewhere else.
  - See L(Issuer ca, ../issuers/ca.md) for name constraints, revocation lists and clients outside the inventory.
options:
  duration:
    description: Validity of a certificate that does not say it itself.
    type: str
    default: 90d
  issuing_duration:
    description: Validity of an issuing CA that this collection makes or asks for.
    type: str
    default: 2y
  root_duration:
    description: Validity of a root that this collection makes.
    type: str
    default: 10y
  crl_duration:
    description: Validity of the revocation lists of a CA that issues certificates.
    type: str
    default: 7d
  key_algorithm:
    description:
      - Algorithm of the CA keys. Read when a CA is made; changing it later has no effect on CAs that exist.
      - V(ml-dsa-44), V(ml-dsa-65) and V(ml-dsa-87) need C(cryptography) 49 on the controller, and OpenSSL 3.5 wherever certificates are verified.
        See L(post-quantum.md,../post-quantum.md).
    type: str
    default: ecdsa-p256
    choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519, ed448, ml-dsa-44, ml-dsa-65, ml-dsa-87]
  common_name:
    description:
      - How the common names of the CAs begin, at most 48 bytes. Read when a CA is made.
      - The default is the issuer's name and C(CA).
    type: str
  subject:
    description: Further parts of the names of CAs that are made here.
    type: dict
    default: {}
    suboptions:
      O:
        description: Organization, one or a list.
        type: raw
      OU:
        description: Organizational unit, one or a list.
        type: raw
      C:
        description: Country, two letters.
        type: raw
      L:
        description: Locality, one or a list.
        type: raw
      ST:
        description: State or province, one or a list.
        type: raw
      DC:
        description: Domain, C(example.com), or its components from left to right.
        type: raw
      serialNumber:
        description: Serial number of the subject.
        type: raw
  root:
    description: Your own root. Without it, a root is made.
    type: dict
    suboptions: &authority
      certificate:
        description: The certificate, PEM, DER, PKCS#7 or PKCS#12, as text or as an absolute path on the controller. A key in it counts as O(root.key).
        type: str
        required: true
      key:
        description: The private key, in the same forms, encrypted or not. Without it, the key is somewhere else.
        type: str
      key_name:
        description: What finds the key where it is, in the words of O(keys.root) or O(keys.issuing). For keys that are in a token or a service already.
        type: str
      passphrase:
        description: Of the key or of the PKCS#12 file. Keep it in Ansible Vault.
        type: str
      crl:
        description: The CA's revocation list, PEM or DER.
        type: str
      index:
        description: Path of the C(index.txt) of C(openssl ca) or easy-rsa. What it has as revoked is listed as well.
        type: path
      openbao:
        description: Only for the root. OpenBao or HashiCorp Vault has the root's key and signs issuing CAs.
        type: dict
        extends_documentation_fragment: fleet.tls.providers.openbao
        suboptions:
          mount:
            description: Where the PKI engine is.
            type: str
            default: pki
          issuer_ref:
            description: Which issuer of the mount has the root's key, by name or id. The default is the mount's own.
            type: str
  issuing:
    description:
      - Your own issuing CA, signed by the root itself. Takes the fields of O(root), except C(openbao). Without it, one is made below the root.
      - The word V(root) means that the root issues certificates by itself.
    type: raw
  name_constraints:
    description: For which names the CAs may issue at all (RFC 5280, 4.2.1.10). Without it, for every name.
    type: dict
    suboptions:
      permitted:
        description: Names of these kinds have to be among these. A kind that is not listed is not constrained.
        type: dict
        default: {}
        suboptions: &names
          dns_names:
            description: Domains, each with everything below it.
            type: list
            elements: str
            default: []
          ip_addresses:
            description: Networks such as V(192.0.2.0/24).
            type: list
            elements: str
            default: []
          email_addresses:
            description: A mailbox, a host, or with a dot in front all hosts below a domain.
            type: list
            elements: str
            default: []
          uris:
            description: A host, or with a dot in front all hosts below a domain.
            type: list
            elements: str
            default: []
      excluded:
        description: No name may be among these.
        type: dict
        default: {}
        suboptions: *names
  path_length:
    description:
      - How many CAs there may be below a root that is made here. The issuing CA is one of them, and has none below it.
      - The default is V(1), or V(2) with O(cross_certificates).
    type: int
  crl_distribution_points:
    description: Folders on servers for plain http, each with a slash at its end, where clients find revocation lists. The file's name is added.
    type: list
    elements: str
    default: []
  authority_information_access:
    description: Folders of the same kind, where clients find CA certificates.
    type: list
    elements: str
    default: []
  keys:
    description:
      - Where the private keys of root and issuing CAs are made, and stay. Without it, in the store.
      - It counts for CAs that are made from now on. Keys that exist stay where they are. See L(Keys, ../keys.md).
    type: dict
    suboptions:
      root:
        description: A L(key provider, keys.md), for the roots.
        type: raw
        default: store
      issuing:
        description: A L(key provider, keys.md), for the issuing CAs.
        type: raw
        default: store
      earlier:
        description: Providers that have keys of earlier CAs, where new ones are made somewhere else.
        type: list
        elements: raw
        default: []
  cross_certificates:
    description: At a rollover, the old root signs the new one, for clients outside the inventory that know only the old one.
    type: bool
    default: false
"""
EXAMPLES = r"""
tls_issuers:
  internal:
    type: ca

  constrained:
    type: ca
    duration: 30d
    subject: {O: Example, C: DE}
    name_constraints:
      permitted: {dns_names: [example.com]}
    crl_distribution_points: [http://pki.example.com/ca/]

  in_a_token:
    type: ca
    keys:
      root: {type: pkcs11, module: /usr/lib/softhsm/libsofthsm2.so, token: "pkcs11:token=fleet", pin_env: TOKEN_PIN}

  existing:
    type: ca
    root: {certificate: /srv/ca/root.pem}
    issuing: {certificate: /srv/ca/issuing.pem, key: /srv/ca/issuing.key, passphrase: "{{ vault_issuing_passphrase }}"}
"""

import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    IssuerError,
    LedgerLost,
    SpecError,
    StoreConflict,
    TlsError,
    Unsigned,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crls import CaCrls
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.given import Sign, own_certificate
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.making import CaMaker
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.options import OPTION_NAMES, parse_options
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import (
    CanPrepare,
    CanRollOver,
    KeepsCrls,
    LetsFetch,
    SealsKeys,
    SignatureWanted,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.ledger_rows import earlier_answer, issuance
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority, make_leaf
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.ca_fitness import forbidden_of, refusal
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import (
    CERTIFICATE_NAME,
    CertificateSpec,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Ledger

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CaRollover

TRIES = 5
# Says that the ledger has had rows: without it, and without rows, the CA has issued nothing yet.
ISSUED = "issued.json"
LOST_REMEDY = (
    "restore ledger.sqlite3 (or the KV folder ledger) from the store's newest backup; if there is none, continue with"
    " -e tls_ledger_lost=true. Until then everything installed stays, and CRLs are still signed"
)


class CaIssuer(CaMaker, Issuer, CanPrepare, KeepsCrls, LetsFetch, CanRollOver, SealsKeys):
    """Options: see ``ca/options.py``."""

    ca_in_store = True
    says_more = True

    def __init__(self, name: str, raw: Any, store: Any) -> None:
        super().__init__(name, raw, store)
        if not CERTIFICATE_NAME.fullmatch(name):
            raise SpecError(f"'{name}' is not a valid issuer name", remedy="it becomes a directory of the store")
        options = parse_options(name, self.fields, openbao_root, store)
        self.duration, self.issuing_duration = options.duration, options.issuing_duration
        self.root_duration, self.crl_duration = options.root_duration, options.crl_duration
        self.key_algorithm, self.common_name = options.key_algorithm, options.common_name
        self.given, self.profile = options.given, options.profile
        self.pointers, self.crosses, self.keys = options.pointers, options.crosses, options.keys

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return OPTION_NAMES

    @property
    def lifetime(self) -> int:
        return self.duration

    def trust(self) -> tuple[x509.Certificate, ...]:
        state = self.state()
        return tuple(self.certificate(each) for each in state.trusted) if state else ()

    def authorities(self) -> dict[str, x509.Certificate]:
        state = self.state()
        return {each: self.certificate(each) for each in (state.ids if state else ())}

    def sealed_keys(self) -> tuple[str, ...]:
        state = self.state()
        if state is None:
            return ()
        # Those of earlier ones lie there still: with them, somebody could sign what is trusted.
        earlier = (f"issuing-{number}" for number in range(1, state.made + 1))
        return tuple(self.entry(f"{each}.key") for each in sorted({*state.ids, *earlier}))

    def key_places(self) -> Mapping[str, str | None]:
        state = self.state()
        return {each: self.key_place(each) for each in (state.ids if state else ())}

    def superseded(self, chain: Sequence[x509.Certificate]) -> str | None:
        return self.rollover().superseded(chain)

    def check(self, wish: CertificateSpec) -> None:
        super().check(wish)
        # What is made here without constraints may issue everything.
        constraints = self.profile.constraints
        forbidden = forbidden_of(constraints, wish.names)
        problem = f"its name constraints do not allow {forbidden[0]}" if forbidden else None
        if not problem and (self.given or constraints):
            problem = refusal(self.signing_chain, wish.names, wish.usages)
        if problem:
            raise SpecError(
                f"issuer '{self.name}': {problem}", remedy="ask for what its CA may issue, or of another issuer"
            )

    @functools.cached_property
    def signing_chain(self) -> tuple[x509.Certificate, ...]:
        """The CAs that sign now; those that the user brings where they are not adopted yet. What cannot be read is said by who needs it."""
        found: list[x509.Certificate] = []
        with contextlib.suppress(TlsError):
            state = self.state()
            if state:
                return self.chain_of(state)
        for given in (self.given.issuing, self.given.root) if self.given else ():
            with contextlib.suppress(TlsError):
                found += [own_certificate(given.read(), given.what)] if given else []
        return tuple(found)

    def chain_of(self, state: CaState) -> tuple[x509.Certificate, ...]:
        """What issues now, and the root, each once."""
        return tuple(self.certificate(each) for each in dict.fromkeys((state.issuing, state.root)) if each)

    @functools.cached_property
    def crl_keeper(self) -> CaCrls:
        """Its revocation lists."""
        return CaCrls(self, dt.timedelta(seconds=self.crl_duration))

    def rollover(self) -> CaRollover:
        # Late: hardly a run needs it.
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CaRollover

        return CaRollover(self)

    def unprepared(self, now: dt.datetime) -> str | None:
        state = self.state()
        if state is None:
            made = self.adoption().describe(now) if self.given else "a root and an issuing CA are made"
            return f"the CA '{self.name}' does not exist yet: {made}"
        lifetime = dt.timedelta(seconds=self.duration)
        if self.issuing_serves(state, now, lifetime):
            return None
        request = self.request_to(state.root)
        if request:
            due = request.due(state, now, may_wait=self.covers(state, now, lifetime))
            return f"{self.issuing_end(state, now)}: {due}" if due else None
        if self.waits_for_root(state, now, lifetime):
            return None
        return f"{self.issuing_end(state, now)}: the next one is made"

    def waits_for(self, now: dt.datetime) -> str | None:
        state, lifetime = self.state(), dt.timedelta(seconds=self.duration)
        if state is None:
            return None
        texts = [f"CA '{self.name}': {text}" for text in self.crl_keeper.waits_for(self.listing(now), now)]
        wanted = self.signature_wanted(now)
        if wanted:
            texts.insert(0, f"{wanted.message}: {wanted.remedy}")
        elif not self.issuing_serves(state, now, lifetime) and self.waits_for_root(state, now, lifetime):
            remedy = f"{self.key_remedy(state.root)}, so that the next one can be made"
            texts.insert(0, f"{self.issuing_end(state, now)}: {remedy}")
        elif self.put_off:
            texts.insert(0, f"{self.issuing_end(state, now)}: the next one could not be made ({self.put_off})")
        if self.given and not wanted:
            texts += self.next_root(state)
        return "; ".join(texts) or None

    def next_root(self, state: CaState) -> list[str]:
        """That the inventory names another root than signs, in words."""
        with contextlib.suppress(TlsError):
            if not self.adoption().is_known(state):
                return [
                    f"tls_issuers.{self.name}.root is a root that the store does not know: fleet.tls.rotate_ca lets it take over"
                ]
        return []

    def signature_wanted(self, now: dt.datetime) -> SignatureWanted | None:
        state = self.state()
        if state is None or state.waiting is None or self.given is None:
            return None
        request = self.request()
        message, remedy = request.message(state, now)
        problem = self.put_off or request.problem(state, now)
        return SignatureWanted(request.text(state), f"{message} ({problem})" if problem else message, remedy)

    def issuing_end(self, state: CaState, now: dt.datetime) -> str:
        """Between when and when the issuing CA cannot be used, in words."""
        if not state.issuing:
            return f"the CA '{self.name}' has no issuing CA yet"
        issuing = self.certificate(state.issuing)
        if issuing.not_valid_before_utc > now:
            begin = iso(issuing.not_valid_before_utc)
            return f"the issuing CA of '{self.name}' is from the future: it counts from {begin} on only"
        if not self.says_what_is_wanted(issuing):
            return f"the issuing CA of '{self.name}' has other name constraints than the inventory"
        return f"the issuing CA of '{self.name}' expires on {iso(issuing.not_valid_after_utc)}"

    def crl_authorities(self, now: dt.datetime) -> tuple[x509.Certificate, ...]:
        return tuple(self.listing(now).values())

    def crls(self, now: dt.datetime, *, renew: bool = True) -> tuple[x509.CertificateRevocationList, ...]:
        if renew:
            self.crl_keeper.renew(lambda: self.listing(now), now)
        kept = (self.crl_keeper.kept(each, certificate) for each, certificate in self.listing(now).items())
        return tuple(crl for crl in kept if crl is not None)

    def fetched(self, now: dt.datetime) -> Mapping[str, bytes | None]:
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.publication import publication

        return publication(self, now)

    def take_over_crls(self, seen: Sequence[x509.CertificateRevocationList], now: dt.datetime) -> tuple[str, ...]:
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crls_of_hosts import CrlsOfHosts

        return CrlsOfHosts(self.crl_keeper).take_over(lambda: self.listing(now), seen, now)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        with self.store.lock(f"ca/{self.name}"):
            self.crl_keeper.forget_all_listed()
            yield

    def crls_due(self, now: dt.datetime) -> str | None:
        present = self.listing(now)
        due, given = self.crl_keeper.due(present, now), self.crl_keeper.given(present)
        texts = [due[each] for each in self.crl_keeper.signable(due)]
        return "; ".join([*texts, *(f"a newer CRL of {each} is there" for each in given)]) or None

    def listing(self, now: dt.datetime) -> dict[str, x509.Certificate]:
        """Those in use that are to have a CRL here: not a root whose key is elsewhere, and of which the inventory names none."""
        state = self.state()
        if state is None or not state.adopted or (self.given and self.given.root.crl):
            return self.in_use(now, state)
        return {
            each: ca
            for each, ca in self.in_use(now, state).items()
            if each not in state.adopted or self.knows_key(each) or self.crl_keeper.kept(each, ca) is not None
        }

    def prepare(self, now: dt.datetime) -> None:
        self.ensure(now, dt.timedelta(seconds=self.duration), ahead=True)

    def ledger_lost(self) -> str | None:
        if self.state() is None or self.store.get(self.entry(ISSUED)) is None or any(self.rows()):
            return None
        return f"the CA '{self.name}' has issued certificates, and the ledger of {self.store.describe()} knows of none: it was lost"

    def rows(self) -> Iterator[Issuance]:
        """What the ledger has of its certificates, canaries left out: they are made also when that was lost."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CANARY_NAME, STRANGER_NAME

        rows = self.store.issuances(issuer=self.name)
        return (row for row in rows if row.certificate not in (CANARY_NAME, STRANGER_NAME))

    def note_issued(self) -> None:
        """That there is something in the ledger from now on; the first run that has issued notes it."""
        if self.store.get(self.entry(ISSUED)) is None:
            with contextlib.suppress(StoreConflict):
                self.store.put(self.entry(ISSUED), b'{"version": 1}', expect=None)

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        lost = None if self.store.accepts_lost_ledger else self.ledger_lost()
        if lost:
            raise LedgerLost(lost, remedy=LOST_REMEDY)
        state = self.ensure(now, self.longest(requests, now))
        if not state.issuing:
            message, remedy = self.request().message(state, now)
            raise Unsigned(message, remedy=remedy)
        issuing, above = self.authority(state.issuing), self.chain_of(state)
        with self.store.ledger() as ledger:
            works = [partial(self.issue_from_ledger, each, state, issuing, above, ledger, now) for each in requests]
            answers = tuple(beside_others(work) for work in works)
        if any(isinstance(answer, Issued) for answer in answers):
            self.note_issued()
        return answers

    def longest(self, requests: Sequence[IssueRequest], now: dt.datetime) -> dt.timedelta:
        """The longest lifetime asked for that this CA can ever give: what goes beyond must not cost the other requests."""
        state = self.state()
        end = self.certificate(state.root).not_valid_after_utc if state else None
        lifetimes = [self.lifetime_of(request) for request in requests]
        possible = [
            each
            for each in lifetimes
            if each.total_seconds() <= self.issuing_duration and (end is None or now + each <= end)
        ]
        return max(possible, default=dt.timedelta(seconds=self.duration))

    def lifetime_of(self, request: IssueRequest) -> dt.timedelta:
        """How long the certificate is to live."""
        return dt.timedelta(seconds=request.duration or self.duration)

    def issue_from_ledger(
        self,
        request: IssueRequest,
        state: CaState,
        issuing: Authority,
        above: Sequence[x509.Certificate],
        ledger: Ledger,
        now: dt.datetime,
    ) -> Issued | TlsError:
        """Sign, or hand out again what was signed for this very request and can still be used.

        :param above: the issuing CA, and the root where that is another one.
        """
        public_key = request.csr.public_key()
        # One of a CA that was replaced meanwhile would have to be replaced at once.
        earlier = earlier_answer(ledger, self.name, request, self.rollover().signing_roots(), now)
        if earlier:
            return earlier
        lifetime = self.lifetime_of(request)
        if now + lifetime > issuing.certificate.not_valid_after_utc:
            return IssuerError(
                f"the issuing CA of '{self.name}' expires on {iso(issuing.certificate.not_valid_after_utc)}, before the"
                f" certificate would ({duration_text(int(lifetime.total_seconds()))} from now)",
                remedy="shorten the certificate's duration or lengthen issuing_duration",
            )
        problem = refusal(above, request.names, request.usages)
        if problem:
            return IssuerError(problem, remedy="ask for what its CA may issue, or of another issuer")
        leaf = make_leaf(
            public_key, request.names, request.usages, issuing, now, lifetime,
            key_usages=request.key_usages, pointers=self.pointers_to(state.issuing),
        )  # fmt: skip
        chain = (leaf, *above[:-1], *self.crosses_of(state.root, now).values())
        ledger.add(issuance(self.name, request, chain, now))
        return Issued(chain)


def beside_others(work: Callable[[], Issued | TlsError]) -> Issued | TlsError:
    """Where another run was faster with the same request, its certificate serves both: ours has left this process nowhere."""
    for _try in range(TRIES):
        with contextlib.suppress(StoreConflict):
            return work()
    return IssuerError("other runs issue for the same request all the time", remedy="run again when they have ended")


def openbao_root(raw: Any, where: str) -> Sign:
    """What has a root in OpenBao sign; late, as most have none."""
    from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.root_signer import parse_root_signer

    return parse_root_signer(raw, where)


PROVIDER = CaIssuer
