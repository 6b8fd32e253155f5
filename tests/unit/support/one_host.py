# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host in a directory, and the requests that a controller would send it: look, apply. Also for Python 3.9."""

from __future__ import annotations

import copy
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import Layout
from ansible_collections.fleet.tls.plugins.module_utils.steps.apply import apply_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, run_openssl

DAY = 86400
DIGEST = "d" * 64
NO_COMMANDS: dict[str, Any] = {
    "preset": None, "units": [], "validate": None, "reload": ["true"], "check": None, "start": None, "programs": [], "user": None,
}  # fmt: skip


def fingerprint_of(pair: Pair) -> str:
    """SHA-256 of the leaf, hex."""
    return hashlib.sha256(pair.der).hexdigest()


def service(name: str = "any", endpoints: Sequence[dict[str, Any]] = (), **commands: Any) -> dict[str, Any]:
    """A service of a request; what is not given does nothing."""
    return {"name": name, **NO_COMMANDS, "endpoints": list(endpoints), **commands}


def endpoint(
    port: int, certificate: str = "www", explicit: bool = True, server_name: str | None = None
) -> dict[str, Any]:
    """An endpoint on loopback."""
    return {
        "host": "127.0.0.1", "port": port, "server_name": server_name, "certificate": certificate, "explicit": explicit
    }  # fmt: skip


def state_of(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything below a directory: what it is, its mode, owner, inode, time of change and content."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        stat = path.lstat()
        content: Any = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path)] = (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_ino, stat.st_mtime_ns, content)
    return found


class OneHost:
    """A host whose files are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tls = folder / "tls"
        self.out = folder / "out"
        self.out.mkdir(parents=True)

    def layout(self, name: str = "www") -> Layout:
        """Where a certificate is."""
        return Layout(str(self.tls), name)

    def live(self, file: str = "", name: str = "www") -> Path:
        """A file of the live generation, by its own path."""
        layout = self.layout(name)
        number = layout.current()
        assert number is not None
        return Path(layout.generation(number)) / file

    def output(self, name: str, form: str = "combined", method: str = "link", **changes: Any) -> dict[str, Any]:
        """An output below ``out``."""
        path = str(self.out / name)
        return {"path": path, "format": form, "method": method, "owner": None, "group": None, "mode": "0600", **changes}

    def wish(self, name: str = "www", *, key: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """A certificate of a look's request; ``key``: what is different from a P-256 key made on the host."""
        return {
            "name": name, "force": False, "request_digest": DIGEST, "renew_before": {"fraction": 0.33},
            "key": {"algorithm": "ecdsa-p256", "rotation_policy": "always", "location": "host", **(key or {})},
            "subject": {"common_name": None, "sans": [["DNS", f"{name}.example.com"]], "usages": ["server_auth"]},
            "owner": None, "group": None, "mode": "0600", "outputs": [], "services": [], **changes,
        }  # fmt: skip

    def look_request(self, *wishes: dict[str, Any], prepare: Any = "auto", **changes: Any) -> dict[str, Any]:
        """What step look gets."""
        return {
            "directory": str(self.tls), "now": int(time.time()), "prepare": prepare, "services": [],
            "certificates": list(wishes), **changes,
        }  # fmt: skip

    def look(self, *wishes: dict[str, Any], **changes: Any) -> dict[str, dict[str, Any]]:
        """What step look says of the certificates."""
        changed, answer = look_step(self.look_request(*wishes, **changes))
        assert changed is False
        return dict(answer["certificates"])

    def look_at(self, wish: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """The same for one."""
        return self.look(wish, **changes)[wish["name"]]

    @staticmethod
    def install_entry(wish: dict[str, Any], pair: Pair, request_id: str = "", **manifest: Any) -> dict[str, Any]:
        """A certificate of an apply's request: the pair that was issued for ``request_id``."""
        now, fingerprint = int(time.time()), fingerprint_of(pair)
        request_id = request_id or f"request-{fingerprint[:8]}"
        above = pair.chain.read_text()[len(pair.pem) :]
        return {
            **wish, "action": "install", "request_id": request_id, "chain": [pair.pem, *([above] if above else [])],
            "manifest": {
                "name": wish["name"], "issuer": "internal", "fingerprint": fingerprint, "serial": "1",
                "not_before": now - 60, "not_after": now + 30 * DAY, "request_digest": wish["request_digest"],
                "request_id": request_id, **manifest,
            },
        }  # fmt: skip

    @staticmethod
    def repair_entry(wish: dict[str, Any]) -> dict[str, Any]:
        """The other kind."""
        return {**wish, "action": "repair", "request_id": "", "chain": [], "manifest": {}}

    def apply(
        self, *entries: dict[str, Any], secrets: dict[str, str] | None = None, **changes: Any
    ) -> tuple[bool, dict[str, Any]]:
        """Step apply; the answer is as JSON would bring it, and the request stays as it is."""
        request = {
            "directory": str(self.tls), "now": int(time.time()), "prove_timeout": 2, "defer_proof": False, "keep": 2,
            "claimed": [output["path"] for entry in entries for output in entry["outputs"]],
            "services": [], "certificates": list(entries), **changes,
        }  # fmt: skip
        return apply_step(copy.deepcopy(request), secrets or {})

    def install(self, wish: dict[str, Any], pair: Pair, **changes: Any) -> tuple[bool, dict[str, Any]]:
        """Install a pair whose key comes from the controller; whether anything changed, and the certificate's answer."""
        entry = self.install_entry(wish, pair)
        changed, answer = self.apply(entry, secrets={wish["name"]: pair.key.read_text()}, **changes)
        return changed, answer["certificates"][wish["name"]]

    def repair(self, wish: dict[str, Any], **changes: Any) -> tuple[bool, dict[str, Any]]:
        """Repair; the same."""
        changed, answer = self.apply(self.repair_entry(wish), **changes)
        return changed, answer["certificates"][wish["name"]]


def sign(authority: Authority, csr: str, folder: Path) -> Pair:
    """A certificate for a CSR; its ``key`` does not exist here."""
    request, leaf = folder / "signed.csr", folder / "signed.pem"
    request.write_text(csr)
    signer = authority.root
    run_openssl(
        "x509", "-req", "-in", str(request), "-CA", str(signer.certificate), "-CAkey", str(signer.key),
        "-set_serial", str(time.time_ns()), "-days", "30", "-out", str(leaf),
    )  # fmt: skip
    return Pair(leaf, folder / "none", leaf)
