# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the blocks of a story are run: a working folder, real hosts by the names that the pages use, and a shell."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fleet import images
from fleet.fleet import SSH_KEYS, Fleet, Host
from tools import paths
from tools.playbook import ansible_environment

# A user and sudo, as guides have it.
USER = "ops"
# In a mount namespace of its own a command sees another /etc/hosts; the machine's stays as it is.
SHELL = 'mount --bind "$0" /etc/hosts && exec bash -euo pipefail -c "$1"'
HOST = re.compile(r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")


@dataclass(frozen=True)
class Done:
    """How a command ended, and all it said."""

    code: int
    said: str


class World:
    """A working folder and hosts.

    :param stack: what is ended with the story.
    :ivar vault: what Ansible Vault holds: variable → value.
    :ivar values: what substitutions have to know.
    """

    def __init__(self, folder: Path, fleet: Fleet | None, stack: contextlib.ExitStack) -> None:
        self.folder, self.fleet, self.stack = folder, fleet, stack
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.hosts_file = folder / "hosts"
        self.vault: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.environment = self._environment()

    def name_hosts(self, extra: Iterable[str] = ()) -> None:
        """All hosts know all hosts by name, and so do the commands.

        :param extra: more lines for /etc/hosts.
        """
        addresses = self.fleet.addresses if self.fleet else {}
        lines = "".join(f"{line}\n" for line in [*(f"{each} {name}" for name, each in addresses.items()), *extra])
        self.hosts_file.write_text(Path("/etc/hosts").read_text(encoding="utf-8") + lines, encoding="utf-8")
        key = (SSH_KEYS / "host" / "host_ed25519.pub").read_text(encoding="ascii").strip() if addresses else ""
        known = "".join(f"{name},{address} {key}\n" for name, address in addresses.items())
        (self.folder / "known_hosts").write_text(known, encoding="ascii")
        for name in addresses:
            self.on(name, "cat >> /etc/hosts", stdin=lines)

    def on(self, host: str, script: str, **options: Any) -> str:
        """Run a shell script on a host as root, past Ansible; its output."""
        assert self.fleet
        return self.fleet.exec(host, ["sh", "-euc", script], **options).stdout

    def write_vault(self) -> None:
        """What Ansible Vault holds, beside the inventory."""
        if self.vault:
            path = self.work / "group_vars" / "all" / "vault.yml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(self.vault), encoding="utf-8")

    def run(self, command: str, timeout: float = 1800) -> Done:
        """Type a command in the working folder; what it says is in ``said.log`` beside that, too."""
        done = self._run(command, timeout)
        with (self.folder / "said.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {command}\n{done.said}[{done.code}]\n")
        return done

    def _run(self, command: str, timeout: float) -> Done:
        process = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", SHELL, str(self.hosts_file), command],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, unused = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Done(-1, process.communicate()[0] + f"\nended after {timeout:.0f} s\n")
        return Done(process.returncode, said)

    def _environment(self) -> dict[str, str]:
        options = f"-o IdentitiesOnly=yes -o UserKnownHostsFile={self.folder / 'known_hosts'} -o GlobalKnownHostsFile=/dev/null"
        # A connection that is kept open must not be taken for one to a later host of the same name.
        token = secrets.token_hex(3)
        return ansible_environment(
            extra={
                "ANSIBLE_COLLECTIONS_PATH": str(paths.COLLECTIONS),
                "ANSIBLE_REMOTE_USER": USER,
                "ANSIBLE_PRIVATE_KEY_FILE": str(SSH_KEYS / "login_ed25519"),
                "ANSIBLE_SSH_COMMON_ARGS": options,
                "ANSIBLE_SSH_CONTROL_PATH": f"%(directory)s/{token}-%%h-%%r",
                "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
                "ANSIBLE_TIMEOUT": "60",
                # Else a run without hosts, because its inventory is not there, is a success.
                "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
                "COLUMNS": "160",
            }
        )


@contextlib.contextmanager
def world(folder: Path, name: str, hosts: Iterable[str]) -> Iterator[World]:
    """A world with these hosts, of each Debian in turn.

    :param name: of the fleet; one that no other process uses.
    """
    releases = images.RELEASES[::-1]
    wanted = [Host(each, releases[number % len(releases)], USER) for number, each in enumerate(hosts)]
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(Fleet(name, wanted)) if wanted else None
        made = World(folder, fleet, stack)
        made.name_hosts()
        yield made


def hosts_in(text: str) -> list[str]:
    """The hosts that an inventory in YAML names, in order; none where the text is no inventory."""
    try:
        found: dict[str, None] = {}
        _collect(yaml.safe_load(text), found)
        return list(found)
    except yaml.YAMLError:
        return []


def _collect(node: Any, found: dict[str, None]) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "hosts" and isinstance(value, dict):
                found.update(dict.fromkeys(each for each in value if HOST.match(str(each)) and each != "localhost"))
            if key != "vars":
                _collect(value, found)
