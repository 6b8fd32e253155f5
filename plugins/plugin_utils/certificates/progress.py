# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run of ``fleet.tls.certificates`` was told, and what it knows of each certificate so far. Pure."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import Maintenance, Wait
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Verdict
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import Rekey
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import ApplyOutcome, PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import ControllerKey
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec


@dataclass(frozen=True)
class Settings:
    """What a task says besides the certificates; ``prove_timeout`` in seconds.

    :param run: names the run of ansible-playbook that the task belongs to, the same for all its hosts.
    :param run_started: when that began, seconds since the epoch; infinite: nothing is known to be younger.
    :param ignore_clocks: issue whatever hosts' clocks say of the controller's.
    :param notes: what was seen may be noted in the store; None: unless it is check mode.
    :param foretells: in check mode, find out whether what is due would be refused.
    :param adopt_only: take over what ``adopt`` names, and have nothing issued.
    :param await_clocks: where a clock is in doubt, issue nothing before all hosts have been heard, in a later task.
    """

    directory: str = "/etc/fleet-tls"
    force: bool | tuple[str, ...] = False
    defer_proof: bool = False
    prove_timeout: float = 15.0
    check_mode: bool = False
    run: str = ""
    run_started: float = math.inf
    rekey: Rekey = Rekey()
    maintenance: Maintenance = Maintenance()
    ignore_clocks: bool = False
    await_clocks: bool = False
    notes: bool | None = None
    foretells: bool = True
    adopt_only: bool = False

    @property
    def may_note(self) -> bool:
        """Whether what was seen may be noted."""
        return not self.check_mode if self.notes is None else self.notes

    @property
    def waits_for_clocks(self) -> bool:
        """Whether a clock that is in doubt is a reason to wait for what other hosts say."""
        return self.await_clocks and not self.ignore_clocks and not self.check_mode

    def forces(self, name: str, pool: str | None = None) -> bool:
        """Whether a new certificate is asked for whatever the present one is like, by its own name or that of its pool."""
        return self.force if isinstance(self.force, bool) else name in self.force or pool in self.force


@dataclass(frozen=True)
class Attempt:
    """An issuer that was asked and gave nothing that could be used."""

    issuer: str
    error: TlsError

    def __str__(self) -> str:
        return f"issuer '{self.issuer}': {self.error.about('')}".rstrip(".")


@dataclass
class Progress:
    """What is known of one certificate so far.

    :param request_id: of the request that ``chain`` answers.
    :param private_key: PKCS#8 PEM in the clear, where it travels to the host; never part of a repr.
    :param deferred: why it is left for a later run, though it is due, while what is there goes on being used.
    :param wait: it is left for a maintenance window, which is why it is deferred.
    :param adopts: ``chain`` is on the host already, and is taken over as it is.
    :param unanswered: it is left for a later task of this run, which comes after the one that configures its server.
    """

    spec: CertificateSpec
    found: PairReport = field(default_factory=PairReport)
    verdict: Verdict = field(default_factory=Verdict)
    key: ControllerKey | None = None
    issuer: str | None = None
    chain: tuple[x509.Certificate, ...] = ()
    request_id: str = ""
    private_key: str | None = field(default=None, repr=False)
    reused: bool = False
    applied: ApplyOutcome | None = None
    error: TlsError | None = None
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    deferred: str | None = None
    wait: Wait | None = None
    unanswered: bool = False
    adopts: bool = False

    @property
    def pool(self) -> str | None:
        """The pool whose pair it is."""
        return self.spec.pool

    def serves_still(self, now: dt.datetime) -> bool:
        """Whether the present pair can go on being used for a while, due or not."""
        leaf = self.found.leaf
        return leaf is not None and not self.found.problems and leaf.not_valid_after_utc > now

    def present(self, issuer: str) -> x509.Certificate | None:
        """The certificate of this issuer that is to be replaced."""
        return self.found.leaf if self.found.manifest.get("issuer") == issuer else None

    def warnings(self) -> list[str]:
        """What deserves a look though the certificate is there."""
        if self.error or self.unanswered:
            return []
        instead = f" (issued by '{self.issuer}' instead)" if self.chain else ""
        return [*self.verdict.notes, *self.notes, *(f"{attempt}{instead}" for attempt in self.attempts)]
