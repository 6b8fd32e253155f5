# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill: what a host wants, so changed that nothing of it reaches what is served, and what the real run would take. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.absent import present

# Beside tls_directory, so in its file system as a rule.
SUFFIX = ".drill"
# What a throw-away CA has of the real one. Where its keys are, who signs it and where it is published are not among them.
CA_OPTIONS = ("duration", "issuing_duration", "root_duration", "crl_duration", "key_algorithm", "permit")
# Of a certificate: when it is renewed, whose pair it takes over, and what only some CAs make.
LEFT_OUT = ("renew_before", "renewal_spread", "adopt", "must_staple", "state")


@dataclass(frozen=True)
class Stand:
    """Where a drill works on a host.

    :param directory: the host's ``tls_directory``.
    :param reload: services are let reload their own, unchanged configuration.
    """

    directory: str
    reload: bool = False

    @property
    def folder(self) -> str:
        """All that the drill writes on the host."""
        return self.directory + SUFFIX

    @property
    def state(self) -> str:
        """What stands for ``tls_directory``."""
        return posixpath.join(self.folder, "state")

    def file(self, path: Any) -> str:
        """What stands for a file of the host's.

        :raises SpecError: it goes up, so it might come to lie anywhere.
        """
        name = str(path or "").lstrip("/")
        if ".." in name.split("/"):
            raise SpecError(f"'{path}' has '..' in it", remedy="write the path without")
        return posixpath.join(self.folder, "files", name)

    def service(self, raw: Any) -> Any:
        """A service that is asked whether it likes its configuration, is not reloaded, and serves nothing of the drill."""
        fields = {"name": raw} if isinstance(raw, str) else raw
        if not isinstance(fields, Mapping):
            return raw
        return {**fields, "endpoints": [], **({} if self.reload else {"reload": "none"})}

    def services(self, raw: Iterable[Any]) -> list[Any]:
        """Several of them."""
        return [self.service(each) for each in raw]

    def with_services(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """An entry whose field ``services``, where it has one, is so changed."""
        raw = entry.get("services")
        return {**entry, "services": self.services(raw)} if isinstance(raw, (list, tuple)) else dict(entry)

    def certificates(self, raw: Iterable[Any]) -> list[dict[str, Any]]:
        """``tls_certificates``; what is no mapping is left for whoever refuses it."""
        return [self.certificate(each) for each in present(raw, "certificates")]

    def certificate(self, entry: Any) -> Any:
        """One of them."""
        if not isinstance(entry, Mapping):
            return entry
        kept = {field: value for field, value in entry.items() if field not in LEFT_OUT}
        outputs = entry.get("outputs")
        if isinstance(outputs, (list, tuple)):
            kept["outputs"] = [
                {**each, "path": self.file(each.get("path"))} if isinstance(each, Mapping) else each for each in outputs
            ]
        return self.with_services(kept)

    def bundles(self, raw: Iterable[Any]) -> list[dict[str, Any]]:
        """``tls_trust_bundles``."""
        return [
            {**each, "path": self.file(each.get("path"))} if isinstance(each, Mapping) else each
            for each in present(raw, "bundles")
        ]

    def clients(self, raw: Iterable[Any]) -> list[dict[str, Any]]:
        """``tls_clients``, who ask nobody: the servers do not know the drill's CA."""
        return [self.client(each) for each in present(raw, "clients")]

    def client(self, entry: Any) -> Any:
        """One of them."""
        if not isinstance(entry, Mapping):
            return entry
        kept = {field: value for field, value in entry.items() if field not in ("endpoints", "state")}
        bundle = entry.get("bundle")
        if isinstance(bundle, Mapping):
            kept["bundle"] = {**bundle, "path": self.file(bundle.get("path"))}
        elif bundle is not None:
            kept["bundle"] = self.file(bundle)
        return self.with_services(kept)


def throw_away_issuers(raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``tls_issuers``, each an internal CA of the drill's own, under the same name."""
    made = {}
    for name, options in raw.items():
        known = options if isinstance(options, Mapping) else {}
        mine = CA_OPTIONS if known.get("type") == "ca" else ("permit",)
        made[str(name)] = {"type": "ca", **{field: known[field] for field in mine if field in known}}
    return made


@dataclass(frozen=True)
class Measured:
    """What a drill has shown.

    :param seconds: stage → how long it took, in their order.
    :param hosts: those that took part; :param known: how many the real run would have.
    :param failed: host → why it did not come through.
    :param not_reloaded: the services' reloads are not in it.
    """

    seconds: Mapping[str, float]
    hosts: Sequence[str]
    known: int
    failed: Mapping[str, str]
    not_reloaded: bool = True

    @property
    def through(self) -> int:
        """How many hosts came through, whose work was measured."""
        return len([each for each in self.hosts if each not in self.failed])

    def estimate(self, stages: Iterable[str], batched: str) -> tuple[float, float] | None:
        """Seconds that the real run takes, from and to: the controller's work grows with the hosts. None: nothing was measured.

        :param stages: those that the real run has.
        :param batched: the stage that a first host goes through alone; it takes at most as long again.
        """
        taken = {name: seconds for name, seconds in self.seconds.items() if name in set(stages)}
        if not taken or not self.through:
            return None
        scale = max(1.0, self.known / self.through)
        least = sum(taken.values()) * scale
        return least, least + taken.get(batched, 0.0)

    def lines(self, what: str, stages: Sequence[str], batched: str, *, check: bool) -> list[str]:
        """For people.

        :param what: the playbook that was rehearsed.
        """
        told = [
            f"{len(self.hosts)} of {self.known} hosts took part in the drill of {what}, {self.through} came through"
        ]
        told += [f"{host} would fail: {why}" for host, why in sorted(self.failed.items())]
        if check:
            return [*told, "in check mode nothing was issued and nothing measured"]
        told += [f"{name}: {seconds:.0f} s" for name, seconds in self.seconds.items()]
        guess = self.estimate(stages, batched)
        if guess:
            told.append(f"{what} would take {guess[0]:.0f} to {guess[1]:.0f} s for {self.known} hosts")
        without = ["handshakes with the servers", "web servers' configuration", "the system's trust store"]
        without = ["reloads (measured with tls_drill_reload: true)", *without] if self.not_reloaded else without
        return [*told, f"not in it: {', '.join(without)}"]
