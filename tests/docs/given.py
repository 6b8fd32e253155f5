# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reader has before a page begins, made for real. substitutions.py says which page is given what."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from acme_servers import bind, pebble
from acme_servers.servers import make_pair
from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import ISSUING, ROOT, ForeignCa, openssl
from bao.server import Cluster, program
from docs.world import World
from tools import trees

CORP_ROOT = "/O=Corp/CN=Corp Root"
# A host whose clock is two hours behind, until somebody sets it: containers share the clock of their machine.
WRONG_CLOCK = "/etc/wrong-clock"
CLOCK = "/usr/local/bin/python-of-this-clock"
CLOCK_SCRIPT = f"""#!/bin/sh
test ! -e {WRONG_CLOCK} || exec faketime -f -7200s /usr/bin/python3 "$@"
exec /usr/bin/python3 "$@"
"""


def tarball(world: World) -> Path:
    """The collection as Galaxy has it; from here on the commands find what is installed of it, and not this checkout."""
    world.environment["ANSIBLE_COLLECTIONS_PATH"] = str(world.folder / "collections")
    folder = world.folder.parent / "tarball"
    if not folder.exists():
        galaxy = Path(sys.executable).with_name("ansible-galaxy")
        command = [str(galaxy), "collection", "build", "--output-path", str(folder)]
        subprocess.run(command, cwd=trees.copy(), check=True, capture_output=True, timeout=600)
    return next(folder.glob("fleet-tls-*.tar.gz"))


def corp_ca(world: World) -> None:
    """A root and an issuing CA that openssl made, with encrypted keys, and the list of what it has revoked: none."""
    ca = ForeignCa(world.folder / "root-ca")
    ca.make("root", ROOT)
    ca.make("issuing", ISSUING, "root")
    ca.database()
    ca.crl("issuing", "issuing.crl.pem")
    for name in ("root", "issuing"):
        lock = f"pass:{world.vault[f'vault_{name}_passphrase']}"
        plain = ca.path(f"{name}.key").rename(ca.path("plain.key"))
        openssl("pkcs8", "-topk8", "-in", plain, "-passout", lock, "-out", ca.path(f"{name}.key"))
        plain.unlink()


def corp_root(world: World) -> None:
    """A root, with its keeper, and its certificate beside the inventory."""
    keeper = ForeignCa(world.work / "keeper")
    keeper.make("corp-root", ROOT, subject=CORP_ROOT)
    (world.work / "pki").mkdir()
    shutil.copy(keeper.path("corp-root.pem"), world.work / "pki")


def another_tools_pair(world: World) -> None:
    """Pairs that another tool has put on the web servers, and the store's passphrase in a file."""
    for host in world.fleet.addresses if world.fleet else ():
        world.on(
            host,
            "mkdir -m 0700 /etc/ssl/www && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
            f" -subj /CN={host} -keyout /etc/ssl/www/privkey.pem -out /etc/ssl/www/fullchain.pem",
        )
    (world.work / "passphrase.txt").write_text(world.vault["vault_tls_passphrase"] + "\n", encoding="utf-8")


def acme_ca(world: World) -> None:
    """Pebble in the place of Let's Encrypt, and a DNS server that knows the hosts and takes updates."""
    assert world.fleet
    folder = world.folder / "acme"
    addresses = {name.removesuffix(".example.com"): address for name, address in world.fleet.addresses.items()}
    names = world.stack.enter_context(bind.running(folder / "bind", addresses=addresses))
    pair = make_pair(folder / "pair")
    ca = world.stack.enter_context(pebble.running(folder / "pebble", pair, http_port=80, dns=f"127.0.0.1:{names.port}"))
    root = folder / "root.pem"
    root.write_text(ca.root(), encoding="ascii")
    world.vault["vault_tsig_secret"] = names.secret
    world.values.update(
        acme_directory=ca.directory_url, acme_ca=str(pair.root), acme_root=str(root), dns=f"127.0.0.1:{names.port}"
    )


def openbao(world: World) -> None:
    """An OpenBao server with nothing in it, and its administrator's ``bao``."""
    cluster = Cluster(world.folder / "bao")
    world.stack.callback(cluster.stop)
    cluster.start()
    world.values.update(openbao=cluster.urls[0], openbao_ca=cluster.ca_path)
    programs = world.folder / "bin"
    programs.mkdir()
    (programs / "bao").symlink_to(program())
    world.environment.update(
        PATH=f"{programs}{os.pathsep}{world.environment['PATH']}",
        BAO_ADDR=cluster.urls[0],
        BAO_CACERT=cluster.ca_path,
        BAO_TOKEN=cluster.root_token,
    )


def wrong_clock(world: World) -> None:
    """A clock of the first host that is two hours behind."""
    assert world.fleet
    for host in world.fleet.addresses:
        world.on(host, f"cat > {CLOCK} && chmod 0755 {CLOCK}", stdin=CLOCK_SCRIPT)
    world.on("web1.example.com", f": > {WRONG_CLOCK}")
    world.environment["ANSIBLE_PYTHON_INTERPRETER"] = CLOCK
