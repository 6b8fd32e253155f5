# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real nginx on loopback for a test: its own directory, configuration and ports."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tools import paths

FRAME = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
{servers}
}}
"""


def command(folder: Path, *arguments: str) -> list[str]:
    """The command line of the nginx that lives in ``folder``."""
    program = shutil.which("nginx", path=paths.tool_path()) or "nginx"
    conf = str(folder / "nginx.conf")
    return [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", conf, *arguments]


@contextlib.contextmanager
def running(folder: Path, servers: str, port: int) -> Iterator[None]:
    """nginx with these ``server`` blocks, up as soon as it listens on ``port``; ended by its own process id.

    :raises AssertionError: it does not start; with its own words.
    """
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    (folder / "nginx.conf").write_text(FRAME.format(folder=folder, servers=servers))
    process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        await_port(process, port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)


def await_port(process: subprocess.Popen[str], port: int) -> None:
    """Wait until it listens on ``port``."""
    for _try in range(6000):
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("nginx did not come to listen on port {0}".format(port))
