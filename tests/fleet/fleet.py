# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of real hosts on this machine: systemd containers with sshd and addresses of their own.

As a program: fleet.py up [--hosts web:bookworm,db:trixie:ops | --count N] [--name NAME] [--inventory FILE], down, list, images.
As a library: ``with Fleet("mine") as fleet: fleet.inventory, fleet.exec("deb12", ["nginx", "-t"])``. Standard library only.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from fleet import images
from fleet.podman import PodmanError, exec_command, podman, why_not
from tools import paths

SSH_KEYS = paths.DEV / "ssh"
BOOT_SECONDS = 300
# A systemd container has five inotify instances, and a sixth for a moment; a user may have 128 by default.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_OF_HOST = 6
# Debian's nginx.service has "forking": nginx's first process may end before the second has written the PID file, and systemd then takes
# the start for failed. It happens on a busy machine only, where this has systemd wait for the file.
PID_FILE = paths.ROOT / "tests/fleet/nginx-pid-file.conf"


@dataclass(frozen=True)
class Host:
    """A host of the fleet; ``ops`` is the ordinary user, who becomes root with sudo.

    :param servers: packages in place of those that all hosts of its release have; without an image of them there is no host.
    :param layout: of an image with such packages: a folder whose ``set-up.sh`` rearranges it.
    """

    name: str
    release: str
    user: str = "root"
    servers: tuple[str, ...] = ()
    layout: Path | None = None


DEFAULT = (
    Host("deb11", "bullseye"),
    Host("deb12", "bookworm"),
    Host("deb13", "trixie"),
    Host("deb12u", "bookworm", "ops"),
)


def numbered(count: int) -> tuple[Host, ...]:
    """So many hosts, their releases in turn."""
    return tuple(
        Host("host{0}".format(number + 1), images.RELEASES[number % len(images.RELEASES)]) for number in range(count)
    )


class FleetError(Exception):
    """The fleet, or a host of it, did not come up."""


class Fleet:
    """Hosts under one name. Names on the machine carry a hash of the checkout's path, so that two checkouts never meet."""

    def __init__(self, name: str = "default", hosts: Sequence[Host] = DEFAULT) -> None:
        self.name = name
        self.hosts = tuple(hosts)
        self.addresses: dict[str, str] = {}
        self.folder = paths.DEV / "fleet" / name
        self.inventory = self.folder / "inventory.yml"
        digest = hashlib.sha256("{0}\0{1}".format(paths.ROOT, name).encode()).hexdigest()[:8]
        self.prefix = "fleet-tls-{0}".format(digest)

    def __enter__(self) -> Fleet:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()

    def container(self, host: str) -> str:
        """The container's name."""
        return "{0}-{1}".format(self.prefix, host)

    def up(self) -> Fleet:
        """Fresh hosts, ready for ssh, and their inventory. Hosts of a release without an image get another one's."""
        reason = why_not()
        if reason:
            raise FleetError(reason)
        self.down()
        images_of = self._images()
        try:
            keys()
            await_room(len(self.hosts))
            podman("network", "create", "--disable-dns", self.prefix)
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda host: self._start(host, images_of[host.name]), self.hosts))
            self._find_addresses()
            self.folder.mkdir(parents=True, exist_ok=True)
            known = "".join("{0} {1}".format(address, _public("host_ed25519")) for address in self.addresses.values())
            (self.folder / "known_hosts").write_text(known, encoding="ascii")
            self.write_inventory(self.inventory)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(self._await_ssh, self.hosts))
        except BaseException:
            self.down()
            raise
        return self

    def _images(self) -> dict[str, str]:
        """The image of each host; those of a release without one have another release from here on."""
        usual = {host.release for host in self.hosts if not host.servers}
        built, left_out = images.ensure_all(usual)
        if left_out and not built:
            built = images.ensure_all(images.RELEASES)[0]
        if usual and not built:
            raise FleetError("; ".join(left_out.values()))
        for reason in left_out.values():
            print("fleet: {0}; its hosts have another release".format(reason), file=sys.stderr)
        self.hosts = tuple(
            host if host.servers else replace(host, release=images.instead(host.release, built)) for host in self.hosts
        )
        return {
            host.name: images.ensure(host.release, host.servers, host.layout) if host.servers else built[host.release]
            for host in self.hosts
        }

    def down(self) -> None:
        """Remove this fleet's containers, network and folder, and nothing else; nothing to remove is fine."""
        found = podman(
            "ps", "--all", "--format", "{{.Names}}", "--filter", "label=fleet-tls.fleet=" + self.prefix
        ).split()
        if found:
            remove(found)
        if self.prefix in podman("network", "ls", "--format", "{{.Name}}").split():
            podman("network", "rm", "--force", self.prefix)
        shutil.rmtree(self.folder, ignore_errors=True)

    def exec(
        self, host: str, argv: Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host as root, past ssh; FleetError with its words when it fails, unless check is off."""
        command = exec_command(self.container(host), argv)
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, **given)
        if check and done.returncode != 0:
            words = "{0}\n{1}".format(done.stdout, done.stderr).strip()
            raise FleetError("{0}: {1} ended with {2}\n{3}".format(host, " ".join(argv), done.returncode, words))
        return done

    def host_vars(self) -> dict[str, dict[str, object]]:
        """The inventory's variables, host by host."""
        # A connection kept open by ControlPersist must not be taken for a later host of the same address: each fleet has a token.
        token = secrets.token_hex(3)
        options = "-o IdentitiesOnly=yes -o UserKnownHostsFile={0} -o GlobalKnownHostsFile=/dev/null".format(
            self.folder / "known_hosts"
        )
        return {
            host.name: {
                "ansible_host": self.addresses[host.name],
                "ansible_user": host.user,
                "ansible_become": host.user != "root",
                "ansible_ssh_private_key_file": str(SSH_KEYS / "login_ed25519"),
                "ansible_ssh_common_args": options,
                "ansible_control_path": "%(directory)s/{0}-%%h-%%r".format(token),
                "ansible_python_interpreter": "/usr/bin/python3",
                # An sshd of a busy machine takes its time to greet.
                "ansible_ssh_timeout": 60,
                "ansible_pipelining": True,
                "fleet_release": host.release,
            }
            for host in self.hosts
        }

    def write_inventory(self, path: Path) -> None:
        """The inventory as YAML; JSON is YAML, and the standard library writes it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"all": {"hosts": self.host_vars()}}, indent=2) + "\n", encoding="utf-8")

    def _start(self, host: Host, image: str) -> None:
        podman(
            "run", "--detach", "--name", self.container(host.name), "--hostname", host.name, "--network", self.prefix,
            "--label", "fleet-tls.fleet=" + self.prefix, "--label", "fleet-tls.host=" + host.name,
            "--systemd=always",
            # Services use PrivateTmp and tests mount a full disk; both need mount(2), as on a real host.
            "--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined", "--security-opt=seccomp=unconfined",
            "--volume", "{0}:/etc/fleet-ssh:ro".format(SSH_KEYS / "host"),
            "--volume", "{0}:/usr/lib/systemd/system/nginx.service.d/pid-file.conf:ro".format(PID_FILE),
            image,
            # systemd 256 and later starts on cgroup v1 only when told to; the argument stands for the kernel's command line.
            "/sbin/init", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
        )  # fmt: skip

    def _find_addresses(self) -> None:
        names = [self.container(host.name) for host in self.hosts]
        for host, entry in zip(self.hosts, json.loads(podman("inspect", "--type", "container", *names))):
            self.addresses[host.name] = entry["NetworkSettings"]["Networks"][self.prefix]["IPAddress"]

    def _await_ssh(self, host: Host) -> None:
        """Until a login works; a port that answers is not yet an account that may."""
        values = self.host_vars()[host.name]
        command = [
            "ssh",
            "-i",
            str(values["ansible_ssh_private_key_file"]),
            *str(values["ansible_ssh_common_args"]).split(),
        ]
        command += [
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=3",
            "{0}@{1}".format(host.user, values["ansible_host"]),
            "true",
        ]
        end = time.monotonic() + BOOT_SECONDS
        while True:
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > end:
                raise FleetError(
                    "{0} took no login within {1} s: {2}".format(host.name, BOOT_SECONDS, done.stderr.strip())
                )
            time.sleep(0.2)


def await_room(hosts: int) -> None:
    """Until the kernel has so many watches left as their systemds need, of which all of the machine's have a share; without, sshd never starts."""
    allowed, needed = int(INOTIFY.read_text(encoding="ascii")), INOTIFY_OF_HOST * hosts
    end = time.monotonic() + BOOT_SECONDS
    while (used := inotify_instances()) + needed > allowed:
        if time.monotonic() > end:
            raise FleetError(
                "{0} hosts need {1} inotify instances; {2} of {3} are in use: end other containers, or raise {4}".format(
                    hosts, needed, used, allowed, INOTIFY
                )
            )
        time.sleep(2)


def inotify_instances() -> int:
    """How many this user has; those of containers are among them."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        # A process may end meanwhile, and what it had open is closed then.
        with contextlib.suppress(OSError):
            if process.stat().st_uid == os.geteuid():
                found += sum(os.readlink(each.path) == "anon_inode:inotify" for each in os.scandir(process / "fd"))
    return found


def remove(containers: Sequence[str]) -> None:
    """Remove containers at once; again when podman loses the race with a container that ends by itself meanwhile."""
    for attempt in range(3):
        try:
            podman("rm", "--force", "--ignore", "--time", "0", *containers)
            return
        except PodmanError:
            if attempt == 2:
                raise
            time.sleep(1)


def keys() -> None:
    """The checkout's ssh keys: one to log in with, one that all its hosts show."""
    host = SSH_KEYS / "host"
    host.mkdir(parents=True, exist_ok=True)
    SSH_KEYS.chmod(0o700)
    # Suites, and the workers of one, come here at the same time.
    with (SSH_KEYS / "lock").open("w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for path in (SSH_KEYS / "login_ed25519", host / "host_ed25519"):
            if not path.exists():
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet-tls", "-f", str(path)],
                    check=True,
                    stdin=subprocess.DEVNULL,
                )
        shutil.copyfile(SSH_KEYS / "login_ed25519.pub", host / "authorized_keys")


def _public(name: str) -> str:
    return (SSH_KEYS / "host" / (name + ".pub")).read_text(encoding="ascii")


def parse_hosts(text: str) -> tuple[Host, ...]:
    """name:release[:user],..."""
    found = []
    for word in text.split(","):
        name, unused, rest = word.partition(":")
        release, unused, user = rest.partition(":")
        if not name or release not in images.RELEASES:
            raise argparse.ArgumentTypeError(
                "{0!r} is not name:release with a release of {1}".format(word, ", ".join(images.RELEASES))
            )
        found.append(Host(name, release, user or "root"))
    return tuple(found)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="fleet.py", description="Real hosts on this machine, as systemd containers.")
    parser.add_argument("action", choices=("up", "down", "list", "images", "possible"))
    parser.add_argument("--name", default="default", help="a fleet's name; several can be up at once")
    parser.add_argument("--hosts", type=parse_hosts, default=DEFAULT, help="name:release[:user],...")
    parser.add_argument("--count", type=int, help="so many hosts, their releases in turn")
    parser.add_argument("--inventory", type=Path, help="write the inventory there too")
    options = parser.parse_args()
    fleet = Fleet(options.name, numbered(options.count) if options.count else options.hosts)
    try:
        return ACTIONS[options.action](fleet, options)
    except (FleetError, PodmanError) as error:
        print("fleet: {0}".format(error), file=sys.stderr)
        return 1


def _up(fleet: Fleet, options: argparse.Namespace) -> int:
    fleet.up()
    if options.inventory:
        fleet.write_inventory(options.inventory)
    for host in fleet.hosts:
        print("{0:8} {1:9} {2:4} {3}".format(host.name, host.release, host.user, fleet.addresses[host.name]))
    print("inventory: {0}".format(os.path.relpath(options.inventory or fleet.inventory)))
    return 0


def _down(fleet: Fleet, unused_options: argparse.Namespace) -> int:
    fleet.down()
    return 0


def _list(fleet: Fleet, unused_options: argparse.Namespace) -> int:
    print(
        podman("ps", "--filter", "label=fleet-tls.fleet=" + fleet.prefix, "--format", "{{.Names}} {{.Status}}"), end=""
    )
    return 0


def _images(fleet: Fleet, unused_options: argparse.Namespace) -> int:
    """Build what is not there yet; 1 when a release could not be had."""
    left_out = images.ensure_all({host.release for host in fleet.hosts})[1]
    for reason in left_out.values():
        print("fleet: " + reason, file=sys.stderr)
    return 1 if left_out else 0


def _possible(unused_fleet: Fleet, unused_options: argparse.Namespace) -> int:
    """1, and the reason, when containers cannot run here."""
    reason = why_not()
    if reason:
        print(reason)
    return 1 if reason else 0


ACTIONS = {"up": _up, "down": _down, "list": _list, "images": _images, "possible": _possible}

if __name__ == "__main__":
    sys.exit(main())
