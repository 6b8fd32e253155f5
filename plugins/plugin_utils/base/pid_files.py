# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands for services that note their process in a file, for where systemd does not run."""

from __future__ import annotations

# Whether a process that one of these files names is there.
PID_FILES = (
    'for file; do pid=$(head -n 1 "$file" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && exit 0; done; exit 1',
    "sh",
)


def process_of(*pid_files: str) -> tuple[str, ...]:
    """A check: one of these files names a process that is there."""
    return ("sh", "-c", *PID_FILES, *pid_files)


def signal_to(signal: str, pid_file: str) -> tuple[str, ...]:
    """A reload: this signal to the process that the file names."""
    return ("sh", "-c", f'kill -{signal} "$(head -n 1 {pid_file})"')
