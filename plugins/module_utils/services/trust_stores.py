# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system trust stores of Linux distributions, as data: where anchors go, what merges them, where the result is.

Which one a host has is told by what is there, not by its name: a distribution nobody has heard of is mostly one of these.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_text
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import find_program
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import BLOCK

PREFIX = "fleet-tls-"


@dataclass(frozen=True)
class TrustStore:
    """One family's store.

    :param marker: a directory that only this family has.
    :param directory: where local anchors go, one PEM file each, named with ``suffix``.
    :param update: merges them, argument list.
    :param bundle: the PEM file it writes, which OpenSSL and its users read.
    :param links: the directory in which it links to the anchors, where it does.
    """

    family: str
    marker: str
    directory: str
    suffix: str
    update: tuple[str, ...]
    bundle: str
    links: str | None = None

    def present(self) -> bool:
        """Whether this host has it."""
        return os.path.isdir(self.marker) and find_program(self.update[0]) is not None

    def path(self, name: str) -> str:
        """The file of the anchor ``name``."""
        return os.path.join(self.directory, PREFIX + name + self.suffix)

    def ours(self) -> tuple[str, ...]:
        """Paths of all anchors that we put there before, sorted, with what a killed run left beside them.

        p11-kit (RHEL, SUSE) reads hidden files of the directory as well.
        """
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return ()
        return tuple(
            os.path.join(self.directory, name) for name in sorted(names) if name.startswith((PREFIX, "." + PREFIX))
        )

    def orphans(self) -> tuple[str, ...]:
        """Links to anchors of ours that are gone: Debian's program removes them only when it has something to add."""
        found = []
        for name in os.listdir(self.links) if self.links else ():
            path = os.path.join(str(self.links), name)
            if os.path.islink(path) and not os.path.exists(path):
                if os.path.basename(os.readlink(path)).startswith(PREFIX):
                    found.append(path)
        return tuple(found)

    def lacks(self, pems: Iterable[str]) -> tuple[str, ...]:
        """Those of the PEM texts that the merged bundle does not hold."""
        try:
            merged = bodies(read_text(self.bundle, follow=True))
        except FileNotFoundError:
            merged = frozenset()
        return tuple(pem for pem in pems if not bodies(pem) <= merged)

    def drop_leftovers(self, ours: Iterable[str]) -> None:
        """Remove a merged bundle in which there is nothing but anchors of ours that are gone.

        Debian's program leaves it as it was where no certificate at all is left to merge.

        :param ours: PEM texts of files that were changed or removed.
        """
        if self.ours():
            return
        with contextlib.suppress(FileNotFoundError):
            merged = bodies(read_text(self.bundle, follow=True))
            if merged and merged <= bodies("".join(ours)):
                os.unlink(self.bundle)


# Debian's and SUSE's programs have one name, so the order matters: only SUSE has /etc/pki/trust.
# update-ca-certificates(8) of both; update-ca-trust(8).
STORES: Sequence[TrustStore] = (
    TrustStore(
        family="suse",
        marker="/etc/pki/trust/anchors",
        directory="/etc/pki/trust/anchors",
        suffix=".pem",
        update=("update-ca-certificates",),
        bundle="/var/lib/ca-certificates/ca-bundle.pem",
    ),
    TrustStore(
        family="redhat",
        marker="/etc/pki/ca-trust/source/anchors",
        directory="/etc/pki/ca-trust/source/anchors",
        suffix=".pem",
        update=("update-ca-trust", "extract"),
        bundle="/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ),
    TrustStore(
        family="debian",
        marker="/usr/share/ca-certificates",
        directory="/usr/local/share/ca-certificates",
        suffix=".crt",
        update=("update-ca-certificates",),
        bundle="/etc/ssl/certs/ca-certificates.crt",
        links="/etc/ssl/certs",
    ),
)


def find_trust_store(stores: Sequence[TrustStore] = STORES) -> TrustStore | None:
    """This host's, or None where it has none that we know."""
    return next((store for store in stores if store.present()), None)


def holds_ours(stores: Sequence[TrustStore] = STORES) -> bool:
    """Whether an anchor that we put there is in a system trust store of this host."""
    return any(store.ours() for store in stores)


def bodies(text: str) -> frozenset[str]:
    """The base64 bodies of all certificates of a PEM text, without line breaks: tools wrap and comment as they like."""
    return frozenset("".join(body.split()) for body in BLOCK.findall(text))
