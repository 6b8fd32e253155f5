# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PKI engines of a test's own, as the docs set them up."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import hvac

from bao.policies import ISSUER, allow
from bao.server import Cluster

ROLE = {
    "allowed_domains": "example.com", "allow_subdomains": True, "require_cn": False, "key_type": "any", "max_ttl": "90d",
    "allowed_uri_sans": "spiffe://example.com/*", "use_csr_common_name": False, "use_csr_sans": False,
}  # fmt: skip


@dataclass(frozen=True)
class Mount:
    """A PKI engine at ``path`` with a role ``web``."""

    cluster: Cluster
    path: str

    @property
    def root(self) -> hvac.Client:
        """Who may do everything there."""
        return self.cluster.root

    def write(self, path: str, **data: Any) -> dict[str, Any]:
        """Write below the mount."""
        answer = self.root.write_data(f"{self.path}/{path}", data=data)
        return dict(answer["data"]) if isinstance(answer, dict) else {}

    def serials(self) -> list[str]:
        """Of all certificates it has signed, its CAs among them."""
        return list(self.root.list(f"{self.path}/certs")["data"]["keys"])

    def policy(self) -> str:
        """The documented policy, for this mount; its name."""
        return allow(self.cluster, self.path, ISSUER.replace('"pki/', f'"{self.path}/'))

    def options(self, token: str | None = None, **changes: Any) -> dict[str, Any]:
        """The issuer as users write it, less ``type``."""
        token = token or self.cluster.token(self.policy())
        return {**self.cluster.options(token), "mount": self.path, "role": "web", **changes}


def make_mount(cluster: Cluster, role: dict[str, Any] | None = None) -> Mount:
    """An engine with a root that signs by itself."""
    mount = empty_mount(cluster)
    mount.write("root/generate/internal", common_name="Test Root", ttl="3000h", key_type="ec", issuer_name="first")
    mount.write("roles/web", **{**ROLE, **(role or {})})
    return mount


def empty_mount(cluster: Cluster) -> Mount:
    """An engine without a CA."""
    path = f"pki-{uuid.uuid4().hex[:12]}"
    cluster.root.sys.enable_secrets_engine("pki", path=path, config={"max_lease_ttl": "87600h"})
    return Mount(cluster, path)


def make_intermediate(cluster: Cluster) -> tuple[Mount, str]:
    """An engine with an intermediate CA that does not know its root; and the root's PEM."""
    above, mount = make_mount(cluster), empty_mount(cluster)
    request = mount.write("intermediate/generate/internal", common_name="Test Issuing", key_type="ec")
    signed = above.write("root/sign-intermediate", csr=request["csr"], common_name="Test Issuing", ttl="2000h")
    mount.write("intermediate/set-signed", certificate=signed["certificate"])
    mount.write("roles/web", **ROLE)
    return mount, str(signed["issuing_ca"])
