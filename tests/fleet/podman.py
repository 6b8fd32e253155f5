# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few podman calls the fleet is made of, with a configuration of our own, and the question whether containers can run here."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools import packages, paths


class PodmanError(Exception):
    """podman refused; the text is its own."""


def podman(*arguments: str, timeout: float = 400) -> str:
    """Run podman and return its standard output."""
    command = ["podman", *_runtime(), *arguments]
    env = {**os.environ, "CONTAINERS_CONF": str(_configuration()), "PATH": paths.tool_path()}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PodmanError("podman {0}: {1}".format(arguments[0], error)) from error
    if done.returncode != 0:
        raise PodmanError(
            "podman {0}: {1}".format(arguments[0], done.stderr.strip() or "exit status {0}".format(done.returncode))
        )
    return done.stdout


def exec_command(container: str, argv: Sequence[str]) -> list[str]:
    """The command line that runs argv in a container."""
    return ["podman", *_runtime(), "exec", "--interactive", container, *argv]


def _runtime() -> list[str]:
    """runc, because crun refuses the hybrid cgroups that many machines still have."""
    program = packages.find("runc")
    return ["--runtime", program] if program else []


def _configuration() -> Path:
    """A containers.conf that asks for no more open files and processes than we may have; podman asks for its own maximum."""
    limits = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(number)[1]
        hard = 1048576 if hard == resource.RLIM_INFINITY else hard
        if name == "nproc":
            # podman lowers its own limit to this, and what it starts cannot get above it again.
            hard = min(hard, int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii")))
        limits.append('"{0}={1}:{1}"'.format(name, hard))
    lines = [
        "[containers]",
        "default_ulimits = [{0}]".format(", ".join(limits)),
        "[engine]",
        'cgroup_manager = "cgroupfs"',
        'events_logger = "file"',
    ]
    if Path("/usr/lib/podman/netavark").exists():
        lines += ["[network]", 'network_backend = "netavark"']
    text = "\n".join(lines) + "\n"
    path = paths.DEV / "containers.conf"
    if not path.exists() or path.read_text(encoding="ascii") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Replaced in one step: another run may be reading it.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="ascii") as handle:
            handle.write(text)
        os.replace(handle.name, path)
    return path


def why_not() -> str | None:
    """Why containers cannot run on this machine, in one line; None when nothing stands against it. Installs what is missing if it may."""
    if os.geteuid() != 0:
        return "containers with addresses of their own need root"
    if (
        not os.path.isdir("/sys/fs/cgroup")
        or os.statvfs("/sys/fs/cgroup").f_flag & os.ST_RDONLY
        and not _writable_hierarchy()
    ):
        return "no writable cgroup file system at /sys/fs/cgroup"
    names = ["unshare", "--mount", "--pid", "--fork", "--net", "--uts", "--ipc", "true"]
    done = subprocess.run(names, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return "this root may not make namespaces ({0})".format(done.stderr.strip())
    try:
        packages.ensure("fleet")
        podman("info")
    except (packages.SetupError, PodmanError) as error:
        return " ".join(str(error).split())
    return None


def _writable_hierarchy() -> bool:
    """cgroup v1: the top is a read-only tmpfs on some machines, the controllers below it are not."""
    return any(
        os.path.isdir(each.path) and not os.statvfs(each.path).f_flag & os.ST_RDONLY
        for each in os.scandir("/sys/fs/cgroup")
    )
