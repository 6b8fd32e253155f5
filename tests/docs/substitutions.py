# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the suite does differently from a reader: the one table of it.

Nothing else is changed. The names of hosts lead to containers by /etc/hosts, as seen by the commands alone; Ansible finds its user and
key in its environment, as a user has them in an ssh configuration.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from docs import given
from docs.blocks import Block
from docs.world import World


@dataclass(frozen=True)
class Substitution:
    """A text of blocks that is another one here.

    :param name: as the run counts it.
    :param pattern: what is replaced, in commands and files.
    :param instead: by what; a template of re.sub.
    """

    name: str
    pattern: str
    instead: Callable[[World], str]


SUBSTITUTIONS = (
    Substitution(
        "the built tarball for Galaxy",
        r"(?<=ansible-galaxy collection install )fleet\.tls\b",
        lambda world: f"--offline {given.tarball(world)}",
    ),
    Substitution(
        "Pebble's address for Let's Encrypt",
        r"(?m)^(?P<indent> *)directory_url: https://acme-v02\.api\.letsencrypt\.org/directory$",
        lambda world: (
            rf"\g<indent>directory_url: {world.values['acme_directory']}"
            rf"\n\g<indent>ca_certificate: {world.values['acme_ca']}\n\g<indent>anchors: {world.values['acme_root']}"
        ),
    ),
    Substitution(
        "a DNS server on loopback for ns1.example.com",
        r"(?m)^(?P<indent> *)server: ns1\.example\.com$",
        lambda world: rf"\g<indent>server: {world.values['dns']}\n\g<indent>authoritative: ['{world.values['dns']}']",
    ),
    Substitution(
        "an OpenBao on loopback for openbao.example.com",
        r"(?m)^(?P<indent> *)url: https://openbao\.example\.com:8200\n *ca_certificate: .*$",
        lambda world: (
            rf"\g<indent>url: {world.values['openbao']}\n\g<indent>ca_certificate: {world.values['openbao_ca']}"
        ),
    ),
    Substitution(
        "the end of a clock that faketime makes wrong for chronyc",
        r"\bchronyc makestep\b",
        lambda unused: f"rm {given.WRONG_CLOCK}",
    ),
    Substitution("a folder of the test for /srv/ca", r"/srv/ca\b", lambda world: str(world.folder / "root-ca")),
    Substitution(
        "a folder of the test for /var/backups",
        r"/var/backups\b",
        lambda world: str(world.folder / "var-backups"),
    ),
)
# What readers have in Ansible Vault: these variables, in group_vars/all/vault.yml. A page that writes that file itself gets none.
VAULT = re.compile(r"\bvault_\w+")

# page → what its reader has before the first block.
GIVEN: dict[str, Callable[[World], None]] = {
    "docs/guides/existing-ca.md": given.corp_ca,
    "docs/guides/leaving.md": given.another_tools_pair,
    "docs/guides/lets-encrypt.md": given.acme_ca,
    "docs/guides/offline-root.md": given.corp_root,
    "docs/guides/openbao.md": given.openbao,
    "docs/runbooks/wrong-clock.md": given.wrong_clock,
}

# (page, a word of the block) → why it is not run.
ADOPTED = "tests/acme_servers/test_adopt.py types it on a host with pairs that certbot, lego, dehydrated and openssl have made"
NOT_RUN: dict[tuple[str, str], str] = {
    ("docs/faq.md", "- name: gateway"): "a part of an inventory; tests/fleet has services like it",
    **{
        (f"docs/guides/{page}.md", word): ADOPTED
        for page in ("from-certbot", "from-community-crypto")
        for word in ("fleet.tls.", "tls_certificates")
    },
    ("README.md", "./dev test"): "tests/local/test_demo.py runs the demo, and the other command is this test itself",
    ("README.md", "ClientHello"): "it is what ./dev demo prints",
    ("docs/guides/offline-root.md", "openbao"): "tests/bao/test_root_signer.py runs it with a real OpenBao",
    ("docs/guides/offline-root.md", "sign-intermediate"): "tests/bao/test_root_signer.py runs it with a real OpenBao",
}


def substituted(block: Block, world: World) -> tuple[str, tuple[str, ...]]:
    """The block's text as it is used here, and the names of the substitutions in it."""
    text, names = block.text, []
    for each in SUBSTITUTIONS:
        if re.search(each.pattern, text):
            text = re.sub(each.pattern, each.instead(world), text)
            names.append(each.name)
    return text, tuple(names)


def vault(text: str) -> dict[str, str]:
    """Values for all variables of Ansible Vault that a page names."""
    return {name: secrets.token_urlsafe(32) for name in sorted(set(VAULT.findall(text)))}


def why_not_run(block: Block) -> str | None:
    """The reason why the block is left out, None: it is run."""
    return next((why for (page, word), why in NOT_RUN.items() if page == block.page and word in block.text), None)
