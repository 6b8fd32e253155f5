# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ``openssl`` program, as servers do, thinks of a client's chain, a bundle and CRLs."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem


def verdict(folder: Path, chain: Sequence[x509.Certificate], bundle: str, crls: str, now: dt.datetime) -> str:
    """``OK``, or the words of ``openssl verify`` with every certificate of the chain checked against a CRL."""
    texts = {"leaf": to_pem(chain[0]), "chain": "".join(map(to_pem, chain[1:])), "bundle": bundle, "crls": crls}
    for name, text in texts.items():
        (folder / f"{name}.pem").write_text(text)
    files = {name: str(folder / f"{name}.pem") for name in texts}
    command = ["openssl", "verify", "-purpose", "sslclient", "-attime", str(int(now.timestamp()))]
    command += ["-CAfile", files["bundle"]]
    command += ["-untrusted", files["chain"]] if texts["chain"] else []
    command += ["-crl_check_all", "-CRLfile", files["crls"]] if crls else []
    done = subprocess.run([*command, files["leaf"]], capture_output=True, text=True, check=False)
    return "OK" if done.returncode == 0 else done.stdout + done.stderr
