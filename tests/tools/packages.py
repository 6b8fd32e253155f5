# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system packages the tools need, in one place, and how they are installed where we may."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

# use -> what shows that it is there (a program, or an absolute path) -> Debian's package
PACKAGES: dict[str, dict[str, str]] = {
    "nginx": {"nginx": "nginx-light", "openssl": "openssl"},
    "acme": {
        "pebble": "pebble",
        "named": "bind9",
        "pdns_server": "pdns-server",
        "/usr/share/doc/pdns-backend-sqlite3": "pdns-backend-sqlite3",
    },
    "lego": {"lego": "lego"},
    "dehydrated": {"dehydrated": "dehydrated"},
    # A KDC, and what the Python package gssapi is built with.
    "kerberos": {
        "krb5kdc": "krb5-kdc",
        "kadmin.local": "krb5-admin-server",
        "krb5-config": "libkrb5-dev",
        "gcc": "gcc",
        "/usr/include/stdlib.h": "libc6-dev",
        "python3-config": "python3-dev",
    },
    "java": {"java": "default-jre-headless"},  # only where tools/java.py finds none
    # Another one who finds out what a server accepts.
    "testssl": {"testssl": "testssl.sh"},
    "clock": {"faketime": "faketime"},
    "keystores": {"keytool": "default-jre-headless"},
    # Another judge of what a CA may issue.
    "gnutls": {"certtool": "gnutls-bin"},
    # Whose CAs are adopted.
    "cas": {"/usr/share/easy-rsa/easyrsa": "easy-rsa", "mkcert": "mkcert", "minica": "minica"},
    # Tokens in files; and what writes down which PKCS#11 functions are called (its library is opensc-pkcs11's).
    "tokens": {
        "softhsm2-util": "softhsm2",
        "/usr/share/doc/opensc-pkcs11": "opensc-pkcs11",
        "openssl": "openssl",
    },
    "lint": {"shellcheck": "shellcheck"},
    # The browser that opens the report's page, a font for it, and what checks the file for Prometheus.
    "report": {
        "chromium": "chromium",
        "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core",
        "promtool": "prometheus",
    },
    "fleet": {
        "podman": "podman",
        "runc": "runc",
        "/usr/lib/podman/netavark": "netavark",
        "iptables": "iptables",  # netavark calls it
        "mmdebstrap": "mmdebstrap",
        "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
        "ssh": "openssh-client",
        "openssl": "openssl",
    },
}

APT_INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends")
# Suites run side by side, and so may two checkouts: one waits for the other's installation.
WAIT = ("-o", "DPkg::Lock::Timeout=300")
INSTALLING = threading.Lock()
POLICY = Path("/usr/sbin/policy-rc.d")


class SetupError(Exception):
    """The machine lacks something that we may not, or could not, install; the text says what to run.

    packages: names of Debian packages that would do, when it is only that.
    """

    def __init__(self, text: str, packages: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.packages = tuple(packages)


def find(program: str) -> str | None:
    """Like shutil.which, and in /usr/sbin too, which an ordinary user's PATH leaves out."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def missing(use: str) -> list[str]:
    """Packages of ``use`` that are not there."""
    wanted = PACKAGES[use].items()
    return sorted({name for probe, name in wanted if not (find(probe) or (probe[0] == "/" and Path(probe).exists()))})


def ensure(*uses: str) -> None:
    """Install what the uses still need, or raise SetupError with the one command that does."""
    with INSTALLING:
        names = sorted({name for use in uses for name in missing(use)})
        if names:
            install(names)


def lacking(names: Sequence[str]) -> SetupError:
    """The error that names what is missing, and the one command that brings it."""
    text = "missing: {0}; as root run: {1}".format(", ".join(names), " ".join([*APT_INSTALL, *names]))
    return SetupError(text, names)


def install(names: list[str]) -> None:
    """apt-get install, quietly and without starting any service."""
    command = [*APT_INSTALL, *WAIT, *names]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise lacking(names)
    print("installing " + " ".join(names), file=sys.stderr)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with services_left_alone():
        if subprocess.run(command, env=env, capture_output=True, check=False).returncode != 0:
            # Old package lists are the usual reason; a fresh container image has none at all.
            subprocess.run(["apt-get", "update", *WAIT], env=env, capture_output=True, check=False)
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise SetupError(
                    "{0} failed:\n{1}".format(" ".join(command), done.stderr.strip() or done.stdout[-2000:])
                )
    # The tests start servers of their own; the package's must not take their ports at the next boot.
    for package, unit in (
        ("nginx-light", "nginx"),
        ("bind9", "named"),
        ("pdns-server", "pdns"),
        ("prometheus", "prometheus"),
        ("krb5-kdc", "krb5-kdc"),
        ("krb5-admin-server", "krb5-admin-server"),
    ):
        if package in names and shutil.which("systemctl"):
            subprocess.run(["systemctl", "disable", unit], capture_output=True, check=False)


@contextlib.contextmanager
def services_left_alone() -> Iterator[None]:
    """Debian's policy-rc.d: 101 forbids package scripts to start or restart anything."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)
