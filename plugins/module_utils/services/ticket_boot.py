# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ring for every start of a server, even when memory has forgotten the real one: a boot unit that makes a throw-away ring.

Keys in memory (tmpfs) are gone after a boot, and a server that is told to read them would not come up. So a unit runs before the
servers and, where a pool's link leads nowhere, fills the place with random keys. Clients lose their sessions with this host, until
the next run of the role brings the pool's ring back; nothing else is lost.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.batch import WantedFile, compare, swap
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_if_there
from ansible_collections.fleet.tls.plugins.module_utils.files.places import remove_if_there
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import MEMORY
from ansible_collections.fleet.tls.plugins.module_utils.services.change import HostChange, carry_out
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import run
from ansible_collections.fleet.tls.plugins.module_utils.system.systemd import systemd_runs

UNIT = "fleet-tls-tickets.service"
UNITS = "/etc/systemd/system"
SCRIPT_NAME = "tickets-at-boot"
# The servers that read ticket keys, by the names of their units.
SERVERS = ("nginx.service", "haproxy.service")

# POSIX sh and coreutils: it has to run where nothing else does yet. $1: the collection's directory on the host.
SCRIPT = r"""#!/bin/sh
# Managed by Ansible (fleet.tls.session_tickets): changes made here are overwritten.
# Makes a throw-away ring of session ticket keys for every pool whose keys are gone, so that servers can start.
set -eu
umask 077
for link in "$1"/tickets/*; do
  if [ ! -L "$link" ] || [ -e "$link/haproxy.keys" ]; then continue; fi
  ring=$(readlink "$link")
  # Nothing is removed but where rings are, whoever made the link.
  case $ring in
    */../* | {memory}/*/*/* | "$1"/ticket-rings/*/*/*) continue ;;
    {memory}/?*/?* | "$1"/ticket-rings/?*/?*) ;;
    *) continue ;;
  esac
  (umask 022 && mkdir -p "${ring%/*}")
  rm -rf "$ring" "$ring.boot"
  mkdir "$ring.boot"
  for name in prev cur next; do
    head -c 80 /dev/urandom > "$ring.boot/$name.key"
    # The name, then the halves in HAProxy's order.
    { head -c 16; } < "$ring.boot/$name.key" > "$ring.boot/line"
    tail -c 32 "$ring.boot/$name.key" >> "$ring.boot/line"
    tail -c 64 "$ring.boot/$name.key" | head -c 32 >> "$ring.boot/line"
    base64 "$ring.boot/line" | tr -d '\n' >> "$ring.boot/haproxy.keys"
    echo >> "$ring.boot/haproxy.keys"
  done
  rm "$ring.boot/line"
  chown -R --reference="$link.json" "$ring.boot"
  mv "$ring.boot" "$ring"
done
""".replace("{memory}", MEMORY)

UNIT_FILE = """\
# Managed by Ansible (fleet.tls.session_tickets): changes made here are overwritten.
[Unit]
Description=Throw-away session ticket keys where the real ones are gone
Documentation=https://github.com/fleet-tls/fleet.tls/blob/main/docs/session-tickets.md
DefaultDependencies=no
RequiresMountsFor={directory} /run
After=local-fs.target
Before={before}

[Service]
# It ends, and so runs again before every start of a server.
Type=oneshot
ExecStart=/bin/sh {script} {directory}

[Install]
WantedBy=multi-user.target {before}
"""


@dataclass(frozen=True)
class BootUnit:
    """The unit and its script, for one directory of the collection on the host."""

    directory: str

    @property
    def script(self) -> str:
        """Where the script lies."""
        return os.path.join(self.directory, SCRIPT_NAME)

    def files(self) -> list[WantedFile]:
        """What has to be there."""
        unit = UNIT_FILE.format(directory=self.directory, script=self.script, before=" ".join(SERVERS))
        return [
            WantedFile(self.script, SCRIPT.encode(), mode="0755"),
            WantedFile(os.path.join(UNITS, UNIT), unit.encode(), mode="0644"),
        ]

    def drift(self) -> list[str]:
        """What is not as it has to be, for people; none where systemd does not run, see :meth:`ensure`."""
        if not systemd_runs():
            return []
        drift = [f"{change.wanted.path}: not as wanted" for change in compare(self.files())]
        return drift if self.enabled() else [*drift, f"{UNIT}: not enabled"]

    @staticmethod
    def enabled() -> bool:
        """Whether every start of one of the servers, and every boot, goes through it; without asking systemd."""
        wants = [os.path.join(UNITS, f"{each}.wants", UNIT) for each in ("multi-user.target", *SERVERS)]
        return all(os.path.lexists(path) for path in wants)

    def ensure(self) -> None:
        """Install and enable it.

        :raises StepError: no_systemd; unit_failed; those of :func:`swap`.
        """
        if not systemd_runs():
            raise StepError(
                "no_systemd",
                "systemd does not run here, so nobody would make keys in memory at the next boot",
                "set tls_session_ticket_location: disk",
            )
        changes = compare(self.files())
        if not changes and self.enabled():
            return
        transaction = swap(changes)

        def take() -> None:
            run(("systemctl", "daemon-reload"), "unit")
            run(("systemctl", "enable", UNIT), "unit")

        refusal = carry_out(HostChange(take=take, undo=transaction.rollback)).error
        if refusal:
            raise refusal
        try:
            transaction.commit()
        except OSError as error:
            raise from_os_error(error, f"installing {UNIT}") from error

    def remove(self) -> None:
        """Take it away again: no ring is left that a boot could need.

        :raises StepError: unit_failed, not_permitted, io.
        """
        paths = [wanted.path for wanted in self.files()]
        unit = read_if_there(os.path.join(UNITS, UNIT)) or b""
        if self.script.encode() not in unit:
            # Another directory's, or nobody's.
            paths = [self.script]
        elif systemd_runs():
            run(("systemctl", "disable", UNIT), "unit")
        try:
            for path in paths:
                remove_if_there(path)
        except OSError as error:
            raise from_os_error(error, f"removing {UNIT}") from error
        if len(paths) > 1 and systemd_runs():
            run(("systemctl", "daemon-reload"), "unit")
