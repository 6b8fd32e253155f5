# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill's folder on the controller: its store and that one's passphrase. It lies in the temporary folder of the run, which Ansible
removes at its end. What a run left that was killed is removed by the next one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path

from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.record import is_alive, this_run
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import Runner

NAME = "fleet-tls-drill"
RUN = "run.json"


def make(run_folder: Path) -> dict[str, str]:
    """The folder, for its owner alone, and ``tls_store`` of the drill without the passphrase, which is in a file.

    :param run_folder: the temporary folder of this run.
    """
    folder = run_folder / NAME
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        write(folder / "passphrase", secrets.token_hex(32))
        write(folder / RUN, json.dumps(asdict(this_run())))
    return {"store": str(folder / "store"), "passphrase_file": str(folder / "passphrase")}


def write(path: Path, text: str) -> None:
    """A new file for its owner alone."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def remove(run_folder: Path) -> None:
    """That of this run, and those of runs that are no more. One that says nothing of its run is left alone."""
    shutil.rmtree(run_folder / NAME, ignore_errors=True)
    for folder in run_folder.parent.glob(f"*/{NAME}"):
        try:
            alive = is_alive(Runner(**json.loads((folder / RUN).read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue
        if alive is False:
            shutil.rmtree(folder, ignore_errors=True)
            # What Ansible would have removed; not empty, if there is more in it than ours.
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
