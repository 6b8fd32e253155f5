# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of SoftHSM2, each in a folder of a test's own, and what was asked of them: OpenSC's spy stands between and writes it down."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
SPY = next((str(each) for each in Path("/usr/lib").glob("*/pkcs11-spy.so")), "")
PIN, SO_PIN = "987654", "12345678"
LOGIN = re.compile(r"^\d+: C_Login$.*?^\d+: C_|^Returned:\s+(\d+) (CKR_\w+)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Token:
    """A token ``fleet`` below ``folder``."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to see it, through the spy."""
        return {
            "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf"),
            "PKCS11SPY": MODULE,
            "PKCS11SPY_OUTPUT": str(self.folder / "spy.log"),
        }

    @property
    def objects(self) -> Path:
        """Where SoftHSM2 keeps it."""
        return next((self.folder / "tokens").iterdir())

    def options(self, *, spied: bool = False, **changes: Any) -> dict[str, Any]:
        """The provider as users write it."""
        return {
            "type": "pkcs11",
            "module": SPY if spied else MODULE,
            "token": "pkcs11:token=fleet",
            "pin": PIN,
            "timeout": "60s",
            **changes,
        }

    def calls(self, name: str) -> int:
        """How often a function was called through the spy."""
        log = self.folder / "spy.log"
        return len(re.findall(rf"^\d+: {name}$", log.read_text(), re.MULTILINE)) if log.exists() else 0

    def pull_out(self) -> None:
        """It is gone."""
        (self.folder / "tokens").rename(self.folder / "pulled")
        (self.folder / "tokens").mkdir()

    def put_in(self) -> None:
        """It is there again."""
        (self.folder / "tokens").rmdir()
        (self.folder / "pulled").rename(self.folder / "tokens")

    def flag(self, bit: int) -> None:
        """Set one of the token's flags (CKF_…), as a real token has it after wrong PINs; SoftHSM2 never does by itself."""
        path = self.objects / "token.object"
        content = path.read_bytes()
        # An attribute: its type (CKA_VENDOR_SOFTHSM + 3, CKA_OS_TOKENFLAGS), the kind of a number, the number; 8 bytes each.
        at = content.index((0x80000000 + 0x5348 + 3).to_bytes(8, "big") + (2).to_bytes(8, "big")) + 16
        number = int.from_bytes(content[at : at + 8], "big") | bit
        path.write_bytes(content[:at] + number.to_bytes(8, "big") + content[at + 8 :])


def make_token(folder: Path) -> Token:
    """A new one."""
    (folder / "tokens").mkdir(parents=True)
    config = f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
    (folder / "softhsm2.conf").write_text(config)
    token = Token(folder)
    command = ["softhsm2-util", "--init-token", "--free", "--label", "fleet", "--so-pin", SO_PIN, "--pin", PIN]
    subprocess.run(command, env={**os.environ, **token.environment}, check=True, capture_output=True, timeout=120)
    return token


def in_process(token: Token, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own: a module that is loaded stays, and SoftHSM2 reads its configuration once."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **token.environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
