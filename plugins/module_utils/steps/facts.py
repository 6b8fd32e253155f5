# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles have to know of a host: its family, OpenSSL, Python, init system and resolvers. Starts no process."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.files.content import read, read_text
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, Layout
from ansible_collections.fleet.tls.plugins.module_utils.services.trust_stores import holds_ours
from ansible_collections.fleet.tls.plugins.module_utils.system.systemd import systemd_runs
from ansible_collections.fleet.tls.plugins.module_utils.tls.ocsp import names_responder
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import leaf_der

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
RESOLVERS = "/etc/resolv.conf"
NGINX = "/etc/nginx/nginx.conf"
NGINX_SITES = re.compile(r"^\s*include\s+[^;#]*sites-enabled/\*", re.MULTILINE)
# ID and ID_LIKE of os-release(5) → how the family keeps its servers' files; the first word that is known decides.
FAMILIES = {
    "debian": "debian", "ubuntu": "debian",
    "rhel": "redhat", "fedora": "redhat", "centos": "redhat", "amzn": "redhat",
    "suse": "suse", "opensuse": "suse", "sles": "suse",
}  # fmt: skip


def facts_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md."""
    return False, {"clock": time.time(), "host": {**host_facts(), "ocsp": certificates_with_ocsp(request["directory"])}}


def host_facts() -> dict[str, Any]:
    """``{family, openssl: [3, 0, 2], python: [3, 11], systemd, resolvers: [address], trusts_ours, nginx_sites}``."""
    # Late: where Python has no ssl, the error is told of the step.
    from _ssl import OPENSSL_VERSION_INFO

    from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import version_numbers

    return {
        "family": family(os_release()),
        # Python's own is the system's libssl, so no program has to be asked.
        "openssl": version_numbers(OPENSSL_VERSION_INFO),
        "python": list(sys.version_info[:2]),
        "systemd": systemd_runs(),
        "resolvers": resolvers(text_of(RESOLVERS)),
        "trusts_ours": holds_ours(),
        # Debian's nginx reads this directory last, that of others has conf.d alone.
        "nginx_sites": NGINX_SITES.search(text_of(NGINX)) is not None,
    }


def text_of(path: str) -> str:
    """A file's text; nothing where it cannot be read."""
    with contextlib.suppress(OSError):
        return read_text(path, follow=True)
    return ""


def os_release() -> str:
    """The text of os-release(5)."""
    return next((text for text in map(text_of, OS_RELEASE) if text), "")


def family(text: str) -> str:
    """``debian``, ``redhat``, ``suse`` or ``other``, from the text of os-release(5)."""
    known = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    for field in ("ID", "ID_LIKE"):
        for word in known.get(field, "").strip("\"'").lower().split():
            if word.partition("-")[0] in FAMILIES:
                return FAMILIES[word.partition("-")[0]]
    return "other"


def resolvers(text: str) -> list[str]:
    """The addresses of name servers, from the text of resolv.conf(5)."""
    words = (line.split() for line in text.splitlines())
    return [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]


def certificates_with_ocsp(directory: str) -> list[str]:
    """The live certificates that name an OCSP responder."""
    found = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(os.path.join(directory, "live"))):
            with contextlib.suppress(OSError):
                if names_responder(leaf_der(read(os.path.join(Layout(directory, name).live, CERT))) or b""):
                    found.append(name)
    return found
