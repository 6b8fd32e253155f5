# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MIT Kerberos on loopback: a realm with a DNS server and two who have keytabs. No file of the system's is read or written."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acme_servers.servers import process
from tools import venvs
from tools.packages import find
from tools.ports import free_port

REALM = "EXAMPLE.COM"
HOST = "ns.example.com"
# Names are taken as they are: nobody asks a DNS server that the tests have not started.
CLIENTS = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    rdns = false
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
[domain_realm]
    .example.com = {realm}
    localhost = {realm}
"""
KDC = """\
[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {folder}/principals
        key_stash_file = {folder}/stash
        acl_file = {folder}/nobody
    }}
[logging]
    kdc = STDERR
"""


@dataclass(frozen=True)
class Kerberos:
    """A realm that runs.

    :param environment: of all who use it; without credentials.
    """

    folder: Path
    environment: dict[str, str]

    @property
    def principal(self) -> str:
        """Who may write to the zone."""
        return f"ansible@{REALM}"

    @property
    def stranger(self) -> str:
        """Somebody else of the realm."""
        return f"stranger@{REALM}"

    @property
    def keytab(self) -> Path:
        """The DNS server's."""
        return self.folder / "server.keytab"

    @property
    def server(self) -> dict[str, str]:
        """The DNS server's environment; what it has seen before it keeps in a folder of its own."""
        return {**self.environment, "KRB5RCACHEDIR": str(self.folder)}

    def client(self, name: str) -> dict[str, str]:
        """The environment of a controller with a keytab; ``name``: before the @."""
        cache = {"KRB5CCNAME": f"FILE:{self.folder}/{name}.cache"}
        return {**self.environment, **cache, "KRB5_CLIENT_KTNAME": f"FILE:{self.folder}/{name}.keytab"}


def library() -> Path:
    """Where the package gssapi is, for sys.path.

    :raises SetupError: it cannot be built here.
    """
    (found,) = (venvs.ensure("kerberos") / "lib").glob("python3.*/site-packages")
    return found


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Kerberos]:
    """A realm on a free port."""
    port = free_port()
    (folder / "krb5.conf").write_text(CLIENTS.format(realm=REALM, port=port))
    (folder / "kdc.conf").write_text(KDC.format(realm=REALM, port=port, folder=folder))
    environment = {
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        "KRB5CCNAME": f"FILE:{folder}/no.cache",
        "KRB5_CLIENT_KTNAME": f"FILE:{folder}/no.keytab",
    }
    kerberos = Kerberos(folder, environment)

    def called(program: str, *arguments: str) -> None:
        command = [find(program) or program, "-r", REALM, *arguments]
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr

    called("kdb5_util", "-P", secrets.token_hex(16), "create", "-s")
    keytabs = {
        f"DNS/{HOST}": "server",
        "DNS/localhost": "server",
        "DNS/other.example.com": "other",
        "ansible": "ansible",
        "stranger": "stranger",
    }
    for principal, keytab in keytabs.items():
        called("kadmin.local", "-q", f"addprinc -randkey {principal}")
        called("kadmin.local", "-q", f"ktadd -k {folder}/{keytab}.keytab {principal}")
    with process([find("krb5kdc") or "krb5kdc", "-n"], folder / "log", port, env=environment):
        yield kerberos
