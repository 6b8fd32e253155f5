# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real nginx that is managed as a service is: started, reloaded, asked by commands. Its own directory, ports of loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.system.commands import find_program

FRAME = """\
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
    # As in Debian's nginx.conf, which a site's own settings have to get along with.
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on;
    include {folder}/conf.d/*.conf;
}}
"""


class NginxService:
    """Use as a context manager: whatever was started is ended, by its own process id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "conf.d"
        self.pid_file = folder / "nginx.pid"
        for each in (self.conf, folder / "tmp"):
            each.mkdir(parents=True, exist_ok=True)
        (folder / "nginx.conf").write_text(FRAME.format(folder=folder))

    def __enter__(self) -> NginxService:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def command(self, *arguments: str) -> list[str]:
        """The command line of this nginx."""
        program = find_program("nginx") or "nginx"
        folder = str(self.folder)
        return [program, "-p", folder, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf", *arguments]

    def described(self) -> dict[str, Any]:
        """As a user describes a service; its commands note that they were called, see :meth:`calls`."""
        return {
            "name": "own-nginx",
            "validate": self.noted("validate", "-t", "-q"),
            "reload": self.noted("reload", "-s", "reload"),
            "check": ["test", "-s", str(self.pid_file)],
            "start": self.noted("start"),
        }

    def noted(self, word: str, *arguments: str) -> list[str]:
        """A command that notes that it was called."""
        shell = shutil.which("sh") or "/bin/sh"
        return [shell, "-c", f'echo {word} >> {self.folder}/calls; exec "$@"', "sh", *self.command(*arguments)]

    def calls(self) -> list[str]:
        """What was called since the last time, in order."""
        path = self.folder / "calls"
        words = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return words

    def start(self) -> None:
        """Run it, with the configuration there is."""
        subprocess.run(self.command(), check=True, capture_output=True, timeout=120)

    def pid(self) -> int | None:
        """The master's process id; None: it does not run."""
        try:
            return int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def stop(self) -> None:
        """End it and wait until it is gone."""
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            for _try in range(200):
                os.kill(pid, 0)
                if not self.pid_file.exists():
                    return
                time.sleep(0.02)
