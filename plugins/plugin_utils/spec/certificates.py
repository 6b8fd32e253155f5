# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary: ``tls_certificates`` parsed into frozen values. No Ansible, no clock, no files.

Whatever cannot be done is refused here, with the certificate's name and a remedy, before anything is touched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import (
    RenewBefore,
    duration_text,
    parse_duration,
    parse_renew_before,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import (
    Fields,
    one_of,
    parse_mode,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import KEY_ALGORITHMS
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import NAME_FIELDS, parse_names
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import ALGORITHMS as POST_QUANTUM
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import refuse_old_cryptography
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import parse_key_usages, parse_usage
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.absent import present
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.adopt import Source, parse_source
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.outputs import FORMATS_WITH_KEY, Output, parse_output
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import (
    NO_PRESETS,
    Access,
    ServiceSpec,
    key_access,
    merge_services,
    parse_service,
)

ROTATION_POLICIES = ("always", "never")
KEY_LOCATIONS = ("host", "controller")
SCOPES = ("host", "pool")
SIGNING_USAGES = ("digital_signature", "content_commitment")
CERTIFICATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CERTIFICATE_FIELDS = (
    "name", "issuer", *NAME_FIELDS, "common_name", "subject", "usages", "key_usages", "private_key", "renew_before", "duration",
    "owner", "group", "mode", "outputs", "services", "scope", "pool", "must_staple", "renewal_spread", "adopt", "state", "revoke",
)  # fmt: skip


@dataclass(frozen=True)
class KeySpec:
    """How the private key is made and for how long it is used."""

    algorithm: str = "ecdsa-p256"
    rotation_policy: str = "always"
    location: str = "host"


@dataclass(frozen=True)
class CertificateSpec:
    """One wanted certificate of one host. ``duration`` is in seconds, None: the issuer's own.

    :param pool: the name under which hosts share one pair; None: the host has its own.
    :param adopt: the pair of somebody else's that is taken over where there is none of ours yet; None: one is issued.
    """

    name: str
    issuers: tuple[str, ...]
    names: Names
    usages: tuple[str, ...] = ("server_auth",)
    key_usages: tuple[str, ...] = ()
    private_key: KeySpec = KeySpec()
    renew_before: RenewBefore = RenewBefore(fraction=0.33)
    duration: int | None = None
    owner: str | None = None
    group: str | None = None
    mode: str = "0600"
    outputs: tuple[Output, ...] = ()
    services: tuple[ServiceSpec, ...] = ()
    pool: str | None = None
    must_staple: bool = False
    renewal_spread: bool = True
    adopt: Source | None = None

    def on(self, host: str) -> CertificateSpec:
        """As this host wants it: with its own moment to renew, or that of its pool."""
        if not self.renewal_spread:
            return self
        return replace(self, renew_before=self.renew_before.spread_by(self.pool or host, self.name))

    @property
    def request_digest(self) -> str:
        """SHA-256 over what a CSR says: when it changes, the present certificate no longer fits."""
        content: list[Any] = [self.names.sans(), self.names.common_name, self.usages, self.private_key.algorithm]
        # Not for those without it: their digests stand in manifests.
        content += ["must_staple"] if self.must_staple else []
        content += [{"subject": self.names.subject}] if self.names.subject else []
        content += [{"key_usages": self.key_usages}] if self.key_usages else []
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class HostSpec:
    """All that one host wants: its certificates, and each service once."""

    certificates: tuple[CertificateSpec, ...]
    services: tuple[ServiceSpec, ...]


def parse_host(
    raw: Any, lifetimes: Mapping[str, int | None], presets: Mapping[str, Mapping[str, Any]] = NO_PRESETS
) -> HostSpec:
    """``tls_certificates`` of one host, as far as they are wanted; the others are in ``retirement/wishes.py``.

    :param lifetimes: the configured issuers' names, each with the lifetime of what it issues in seconds (None: it
        alone decides).
    :param presets: the user's own presets of services, see :func:`service.parse_presets`.
    :raises SpecError: see :func:`parse_certificate`; two certificates of one name; two outputs at one path; one
        service described in two ways.
    """
    if not isinstance(raw, (list, tuple)):
        raise SpecError("certificates must be a list", remedy="see the examples of fleet.tls.certificates")
    certificates = tuple(parse_certificate(entry, lifetimes, presets) for entry in present(raw, "certificates"))
    refuse_twice((certificate.name for certificate in certificates), "two certificates have the name")
    refuse_twice((each.adopt.private_key for each in certificates if each.adopt), "two certificates adopt the pair of")
    paths: set[str] = set()
    services: tuple[ServiceSpec, ...] = ()
    for certificate in certificates:
        try:
            for output in certificate.outputs:
                refuse_twice((*paths, output.path), "two outputs have the path")
                paths.add(output.path)
            services = merge_services((*services, *certificate.services))
        except TlsError as error:
            raise error.about(certificate.name) from None
    return HostSpec(certificates, services)


def refuse_own_directory(spec: HostSpec, directory: str) -> None:
    """An output below the directory of the generations would be a link to itself, or overwrite a generation.

    :param directory: as the host has it, normalized.
    :raises SpecError: there is one.
    """
    for certificate in spec.certificates:
        for output in certificate.outputs:
            if is_below(output.path, directory):
                raise SpecError(
                    f"outputs: {output.path} lies in {directory}, where the certificates themselves are kept",
                    remedy="use the files below live/ as they are, or choose a path outside",
                    certificate=certificate.name,
                )
        for path in (certificate.adopt.certificate, certificate.adopt.private_key) if certificate.adopt else ():
            if is_below(path, directory):
                raise SpecError(
                    f"adopt: {path} lies in {directory}, where the certificates themselves are kept",
                    remedy="name the file that another program has put there, or leave adopt out",
                    certificate=certificate.name,
                )


def is_below(path: str, directory: str) -> bool:
    """Whether a path is a directory, or lies in it; both are normalized."""
    return f"{path}/".startswith(f"{directory}/")


def parse_certificate(
    raw: Any, lifetimes: Mapping[str, int | None], presets: Mapping[str, Mapping[str, Any]] = NO_PRESETS
) -> CertificateSpec:
    """One entry of ``tls_certificates``; whom its key belongs to may come from the preset of a service.

    :raises SpecError: unknown fields, issuer, service or algorithm; bad names; ``renew_before`` not shorter than the
        lifetime; a key that others could read; services that want different owners of one key.
    """
    if not isinstance(raw, Mapping):
        raise SpecError("a certificate must be a mapping", remedy="write {name: www, issuer: ..., dns_names: [...]}")
    name = str(raw.get("name") or "")
    if not CERTIFICATE_NAME.fullmatch(name):
        raise SpecError(
            f"'{name}' is not a valid certificate name",
            remedy="a name becomes a directory: up to 64 letters, digits, dots, hyphens and underscores",
        )
    try:
        fields = Fields(raw, CERTIFICATE_FIELDS)
        if fields.get("revoke") is not None:
            raise SpecError("revoke: it is wanted", remedy="write state: absent beside it, or leave it out")
        return parse_fields(name, fields, lifetimes, presets)
    except TlsError as error:
        raise error.about(name) from error


def parse_fields(
    name: str, fields: Fields, lifetimes: Mapping[str, int | None], presets: Mapping[str, Mapping[str, Any]]
) -> CertificateSpec:
    """The rest of :func:`parse_certificate`, without the certificate's name in its errors."""
    issuers = fields.strings("issuer")
    if not issuers:
        raise SpecError("has no issuer", remedy=f"name one of: {', '.join(lifetimes) or 'none is configured'}")
    for issuer in issuers:
        one_of(issuer, lifetimes, "issuer")
    names = parse_names(fields.raw)
    usages = tuple(sorted({parse_usage(each) for each in fields.strings("usages") or ["server_auth"]}))
    renew_before = parse_renew_before(fields.get("renew_before", "33%"))
    duration = None if fields.get("duration") is None else parse_duration(fields.get("duration"))
    for lifetime in {duration or lifetimes[issuer] for issuer in issuers}:
        if lifetime is not None and not renew_before.fits(lifetime):
            raise SpecError(
                f"renew_before ({duration_text(renew_before.seconds or 0)}) is not shorter than the lifetime"
                f" ({duration_text(lifetime)}): it would be renewed at every run",
                remedy="use a part of the lifetime, such as 33%",
            )
    services = tuple(parse_service(entry, name, names, presets) for entry in fields.items("services"))
    access = parse_access(fields, services)
    outputs = tuple(parse_output(entry, access.owner, access.group) for entry in fields.items("outputs"))
    pool = parse_pool(name, fields)
    key = parse_key(fields.get("private_key") or {}, pooled=pool is not None)
    refuse_other_keys(outputs, key)
    key_usages = parse_key_usages(fields.strings("key_usages"))
    refuse_encipherment(key_usages, key)
    adopt = parse_source(fields.get("adopt"), key.location, pooled=pool is not None)
    return CertificateSpec(
        name=name,
        issuers=tuple(issuers),
        names=names,
        usages=usages,
        key_usages=key_usages,
        private_key=key,
        renew_before=renew_before,
        duration=duration,
        owner=access.owner,
        group=access.group,
        mode=access.mode or "0600",
        outputs=outputs,
        services=services,
        pool=pool,
        must_staple=fields.flag("must_staple"),
        renewal_spread=fields.flag("renewal_spread", True),
        adopt=adopt,
    )


def parse_pool(name: str, fields: Fields) -> str | None:
    """``scope`` and ``pool``: the pool's name, the certificate's own by default.

    :raises SpecError: an unknown scope, a pool without the scope, or what is no name.
    """
    scope, pool = one_of(fields.get("scope", "host"), SCOPES, "scope"), fields.text("pool")
    if scope == "host":
        if pool is not None:
            raise SpecError("pool: it has no pool, its scope is host", remedy="write scope: pool, or leave pool out")
        return None
    if pool is not None and not CERTIFICATE_NAME.fullmatch(pool):
        raise SpecError(
            f"pool: '{pool}' is not a valid name", remedy="up to 64 letters, digits, dots, hyphens and underscores"
        )
    return pool or name


def parse_access(fields: Fields, services: Iterable[ServiceSpec]) -> Access:
    """``owner``, ``group`` and ``mode`` of an entry; where it names neither owner nor group, they are as its services need them.

    :raises SpecError: a mode that lets others read a key; see :func:`service.key_access`.
    """
    mode = parse_mode(fields.get("mode", "0600"), secret=True)
    owner, group = fields.text("owner"), fields.text("group")
    if owner or group:
        return Access(owner, group, mode)
    bare = (parse_output(entry, None, None) for entry in fields.items("outputs"))
    usual = key_access(services, [Access(each.owner) for each in bare if each.format in FORMATS_WITH_KEY])
    return usual if usual.mode and fields.get("mode") is None else Access(usual.owner, usual.group, mode)


def parse_key(raw: Any, *, pooled: bool = False) -> KeySpec:
    """``private_key`` of an entry.

    :param pooled: it is a pool's: hosts that share a key cannot make it, so it is made on the controller.
    :raises SpecError: unknown fields or values, or a pool's key on a host.
    :raises DependencyError: an algorithm for which the controller's cryptography is too old.
    """
    fields = Fields(raw, ("algorithm", "rotation_policy", "location"), "private_key")
    default = "controller" if pooled else "host"
    if pooled and fields.get("location", default) != default:
        raise SpecError(
            "private_key.location: the hosts of a pool share one key, which no host can make for the others",
            remedy="leave location out, or write scope: host",
        )
    algorithm = one_of(fields.get("algorithm", "ecdsa-p256"), KEY_ALGORITHMS, "private_key.algorithm")
    if algorithm in POST_QUANTUM:
        refuse_old_cryptography(f"private_key.algorithm: {algorithm}")
    return KeySpec(
        algorithm=algorithm,
        rotation_policy=one_of(
            fields.get("rotation_policy", "always"), ROTATION_POLICIES, "private_key.rotation_policy"
        ),
        location=one_of(fields.get("location", default), KEY_LOCATIONS, "private_key.location"),
    )


def refuse_other_keys(outputs: Iterable[Output], key: KeySpec) -> None:
    """:raises SpecError: a form that keys of this kind do not have, or whose readers know none of this kind."""
    for output in outputs:
        if output.format == "pkcs1" and not key.algorithm.startswith("rsa-"):
            raise SpecError(
                f"outputs: {output.path} is to be pkcs1, which only RSA keys can be, and private_key.algorithm is {key.algorithm}",
                remedy="write format: privkey, or private_key: {algorithm: rsa-3072}",
            )
        if key.algorithm in POST_QUANTUM and (output.format == "jks" or output.profile == "legacy"):
            form = "jks" if output.format == "jks" else f"{output.format} with profile: legacy"
            raise SpecError(
                f"outputs: {output.path} is to be {form}, and the programs that need this form know no {key.algorithm}",
                remedy="write format: pkcs12 without a profile, for Java 24 or newer, or format: privkey",
            )


def refuse_encipherment(usages: Iterable[str], key: KeySpec) -> None:
    """:raises SpecError: an ML-DSA key is to do what it cannot: it signs, and nothing else (RFC 9881, section 5)."""
    unfit = [each for each in usages if each not in SIGNING_USAGES]
    if key.algorithm in POST_QUANTUM and unfit:
        raise SpecError(
            f"key_usages: a key of {key.algorithm} can only sign, and not do {', '.join(unfit)}",
            remedy=f"leave key_usages out, or write some of {', '.join(SIGNING_USAGES)}",
        )


def refuse_twice(values: Iterable[str], complaint: str) -> None:
    """:raises SpecError: a value appears twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise SpecError(f"{complaint} '{value}'", remedy="rename or remove one of them")
        seen.add(value)
