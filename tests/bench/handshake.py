# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a handshake costs by the algorithm of certificate and CA: bytes and milliseconds, on a host of Debian 13; run by ./dev bench handshake.

One nginx with a listener for each, and a client on the same host that verifies the chain (leaf and issuing CA, below a root). The algorithms take
turns, so that a busy moment meets all of them. No ticket is used: every handshake is a whole one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from fleet.fleet import Fleet, FleetError, Host
from fleet.podman import PodmanError
from tools import paths

sys.path.append(str(paths.COLLECTIONS))

HOST, FIRST_PORT, FOLDER = "hello", 4701, "/root/handshake"
HYBRID, PLAIN = "X25519MLKEM768", "x25519"
ALGORITHMS = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87")
SERVER = """server {{
    listen 127.0.0.1:{port} ssl; server_name bench.test; ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;
    ssl_ecdh_curve {groups}; ssl_certificate {folder}/{name}.pem; ssl_certificate_key {folder}/{name}.key; return 200 ok;
}}
"""
# On the host: [[name, port, group, rounds]] → {name: [[milliseconds, bytes sent, bytes received]]}.
CLIENT = """
import json, socket, ssl, sys, time
folder, rounds, wanted = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
contexts = {}
for label, name, port, group in wanted:
    context = contexts[label] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder + "/" + name + ".root.pem")
    if group == "x25519":
        context.set_ecdh_curve("X25519")
def shake(context, port):
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, goes, server_hostname="bench.test")
    sent = received = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter()
        while True:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            data = goes.read()
            sent += len(data)
            plain.sendall(data)
            if done:
                return (time.perf_counter() - begin) * 1000, sent, received
            data = plain.recv(65536)
            assert data, "the server hung up"
            received += len(data)
            came.write(data)
found = {label: [] for label, *_rest in wanted}
for turn in range(rounds + 5):
    for label, _name, port, _group in wanted:
        seen = shake(contexts[label], port)
        if turn >= 5:
            found[label].append(seen)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Case:
    """A row: the algorithm of leaf, issuing CA and root, and the key agreement."""

    algorithm: str
    group: str = HYBRID

    @property
    def label(self) -> str:
        """Its name."""
        return f"{self.algorithm} {self.group}"


CASES = (Case("ecdsa-p256", PLAIN), *(Case(each) for each in ALGORITHMS))


def pair_of(algorithm: str) -> dict[str, str]:
    """What a CA of the collection makes: the files of a server and of its clients."""
    from cryptography.hazmat.primitives import serialization

    from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
        generate_key,
        make_issuing,
        make_leaf,
        make_root,
    )
    from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, to_pem

    now, day = dt.datetime.now(dt.timezone.utc), dt.timedelta(days=1)
    root = make_root("Bench Root", algorithm, now, 300 * day)
    issuing = make_issuing("Bench Issuing", algorithm, root, now, 200 * day)
    key = generate_key(algorithm)
    leaf = make_leaf(key.public_key(), Names(dns_names=("bench.test",)), ("server_auth",), issuing, now, 90 * day)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "pem": to_pem(leaf) + to_pem(issuing.certificate),
        "key": pem.decode(),
        "root.pem": to_pem(root.certificate),
    }


def prepare(fleet: Fleet) -> list[list[Any]]:
    """The nginx with a listener for each case; what its client is told."""
    fleet.exec(HOST, ["mkdir", "-m", "0700", FOLDER])
    for algorithm in ALGORITHMS:
        for name, content in pair_of(algorithm).items():
            fleet.exec(HOST, ["tee", f"{FOLDER}/{algorithm}.{name}"], stdin=content)
    wanted = [[case.label, case.algorithm, FIRST_PORT + number, case.group] for number, case in enumerate(CASES)]
    listeners = [
        SERVER.format(port=port, name=name, folder=FOLDER, groups="X25519" if group == PLAIN else f"{HYBRID}:X25519")
        for _label, name, port, group in wanted
    ]
    fleet.exec(HOST, ["tee", "/etc/nginx/conf.d/bench.conf"], stdin="".join(listeners))
    fleet.exec(HOST, ["tee", f"{FOLDER}/client.py"], stdin=CLIENT)
    fleet.exec(HOST, ["systemctl", "restart", "nginx"])
    return wanted


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def table(found: Mapping[str, Sequence[Sequence[float]]], rounds: int) -> str:
    """One line a case, and how often the first case's bytes."""
    rows = [
        [
            f"leaf, issuing CA and root ({rounds} handshakes each)",
            "key agreement",
            "client sends",
            "server sends",
            "p50",
            "p99",
        ],
        ["---"] * 6,
    ]
    for case in CASES:
        times, sent, received = zip(*found[case.label])
        rows.append([
            case.algorithm, case.group, f"{percentile(sent, 0.5):,.0f} B", f"{percentile(received, 0.5):,.0f} B",
            f"{percentile(times, 0.5):.2f} ms", f"{percentile(times, 0.99):.2f} ms",
        ])  # fmt: skip
    return "\n".join("| {0} |".format(" | ".join(row)) for row in rows)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench handshake", description=__doc__.partition(";")[0])
    parser.add_argument("--rounds", type=int, default=500, help="handshakes of each kind")
    options = parser.parse_args()
    try:
        with Fleet("handshake", (Host(HOST, "trixie"),)) as fleet:
            wanted = prepare(fleet)
            command = ["python3", f"{FOLDER}/client.py", FOLDER, str(options.rounds), json.dumps(wanted)]
            found = json.loads(fleet.exec(HOST, command, timeout=3000).stdout)
            versions = fleet.exec(HOST, ["sh", "-c", "openssl version; nginx -v 2>&1"]).stdout.split("\n")
    except (FleetError, PodmanError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"{versions[0].partition('(')[0].strip()}, {versions[1].strip()}\n")
    print(table(found, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
