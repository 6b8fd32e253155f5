# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error tree of the controller.

Every error says what is wrong; ``remedy`` says what to do about it. An action plugin catches ``TlsError`` at its edge, adds
the host, and fails the task with ``str(error)``: nothing else of the exception reaches an output, so no secret can.
"""

from __future__ import annotations


class TlsError(Exception):
    """Base of all errors that are meant for people.

    :param message: what is wrong and where, one sentence without a full stop.
    :param remedy: what to do about it, one sentence without a full stop.
    :param certificate: the name of the certificate concerned, where there is one.
    """

    code = "error"

    def __init__(self, message: str, *, remedy: str | None = None, certificate: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.certificate = certificate

    def __str__(self) -> str:
        subject = f"certificate '{self.certificate}': " if self.certificate else ""
        end = "" if self.remedy and self.remedy[-1] in ".?!" else "."
        remedy = f". {self.remedy[:1].upper()}{self.remedy[1:]}{end}" if self.remedy else ""
        return f"{subject}{self.message}{remedy}"

    def about(self, certificate: str) -> TlsError:
        """The same error, told of a certificate."""
        # Not by copy.copy(): that calls the class with the words alone, and some classes want more.
        told = type(self).__new__(type(self), *self.args)
        told.__dict__.update(self.__dict__, certificate=certificate)
        return told

    def as_dict(self) -> dict[str, str | None]:
        """JSON-ready form, as it stands in a task's result."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class SpecError(TlsError):
    """What the user wrote cannot be done; raised before anything is touched."""

    code = "bad_input"


class DependencyError(TlsError):
    """The controller lacks something that has to be installed there."""

    code = "dependency"


class CertificateError(TlsError):
    """A certificate, key or chain is not what it has to be (unreadable, other names, other key, broken chain)."""

    code = "bad_certificate"


class StoreError(TlsError):
    """The store cannot be read or written."""

    code = "store"


class DamagedEntry(StoreError):
    """An entry of the store is there and cannot be understood."""


class StoreConflict(StoreError):
    """A put-if-unchanged met an entry that somebody else had changed."""

    code = "store_conflict"


class StoreBusy(StoreError):
    """A lock of the store was not to be had in time."""

    code = "store_busy"


class PassphraseError(StoreError):
    """The passphrase is missing, too short or not the one the store was made with."""

    code = "passphrase"


class IssuerError(TlsError):
    """An issuer could not or would not issue."""

    code = "issuer"


class KeyUnavailable(IssuerError):
    """A key that is not in the store cannot be used now: its token or service is absent, locked, slow or sealed, or refuses."""

    code = "key"


class LedgerLost(IssuerError):
    """A CA is there, and the record of what it issued is not: nobody could tell what is to be revoked or renewed."""

    code = "ledger_lost"


class ControllerClockError(TlsError):
    """The controller's clock is wrong, by the word of most hosts: whatever it dated would be of no use to anybody."""

    code = "controller_clock"


class RotationError(TlsError):
    """A rotation cannot go on: a host holds it back, another run drives it, or the store is older than the fleet."""

    code = "rotation"


class Unanswered(IssuerError):
    """No server answers for a name yet, so the CA was not asked: a server that is still to be configured may be all that is missing."""

    code = "unanswered"


class Deferred(IssuerError):
    """An issuer may not issue now, and says when it may. No failure as long as the present certificate serves."""

    code = "deferred"


class Unsigned(Deferred):
    """A CA waits for the signature under its own certificate: nothing of it can be had, and everything else can go on."""


class HostError(TlsError):
    """A host could not do its part; ``code`` is the host's own word for it."""

    def __init__(
        self, message: str, *, code: str = "host", remedy: str | None = None, certificate: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy, certificate=certificate)
        self.code = code
