# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TLS client that is Java, and trusts what a truststore says. A runtime is enough: keytool reads revocation lists from anywhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def java_refuses(url: str, truststore: Path, passphrase: str | None) -> str | None:
    """Why Java does not take the certificate of an https server; None: it takes it.

    :param url: of a revocation list.
    :param passphrase: None: Java is told none.
    """
    program = shutil.which("keytool")
    assert program, "install the package default-jre-headless"
    trust = {"trustStore": truststore, "trustStorePassword": passphrase}
    options = [f"-J-Djavax.net.ssl.{name}={value}" for name, value in trust.items() if value is not None]
    command = [program, "-J-XX:TieredStopAtLevel=1", *options, "-printcrl", "-file", url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if ended.returncode == 0:
        assert "X.509 CRL" in ended.stdout
        return None
    return ended.stdout + ended.stderr
