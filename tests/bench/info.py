# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure fleet.tls.certificate_files_info over many files of one real host, beside a ping and a process of openssl for every file.

Run it with ``.dev/venv/main/bin/python tests/bench/info.py`` after ``./dev up``'s set-up. Says how fast, never fails for slowness: the exit
status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import json
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.append(str(Path(__file__).resolve().parents[2] / ".dev" / "collections"))

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fleet.fleet import Fleet, FleetError, Host
from fleet.podman import PodmanError, podman
from tools.playbook import run_playbook

FOLDER = "/srv/info-bench"
OPENSSL = "find {0} -name '*.pem' -exec openssl x509 -noout -subject -enddate -fingerprint -sha256 -in {{}} \\;"
TASKS = {
    "ping": {"ansible.builtin.ping": {}},
    "fleet.tls.certificate_files_info": {"fleet.tls.certificate_files_info": {"paths": [FOLDER]}},
    "openssl x509, a process a certificate": {"ansible.builtin.command": {"cmd": "sh /srv/info-bench.sh"}, "changed_when": False},
}  # fmt: skip


def material(count: int) -> bytes:
    """A tar archive with ``count`` files, half of them certificates and half of them their keys; a tenth RSA."""
    archive = io.BytesIO()
    begin = dt.datetime.now(dt.timezone.utc)
    strong = [rsa.generate_private_key(65537, 2048) for _number in range(3)]
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number in range(count // 2):
            key = strong[number % 3] if number % 10 == 0 else ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"host{number}.example.com")])
            builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            builder = (
                builder.serial_number(number + 1).not_valid_before(begin).not_valid_after(begin + dt.timedelta(90))
            )
            names = x509.SubjectAlternativeName([x509.DNSName(f"host{number}.example.com")])
            made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
            form, open_ = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            for suffix, content in (
                ("pem", made.public_bytes(serialization.Encoding.PEM)),
                ("key", key.private_bytes(serialization.Encoding.PEM, form, open_)),
            ):
                about = tarfile.TarInfo(f"{number}.{suffix}")
                about.size, about.mode = len(content), 0o600
                tar.addfile(about, io.BytesIO(content))
    return archive.getvalue()


def measured(inventory: Path, folder: Path, task: str, times: int) -> float:
    """Seconds of a playbook that runs a task so often."""
    play = folder / "play.yml"
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [TASKS[task]] * times}]))
    start = time.monotonic()
    run_playbook(play, inventory).check()
    return time.monotonic() - start


def check(inventory: Path, folder: Path, count: int) -> None:
    """:raises AssertionError: it did not find what is there."""
    play = folder / "play.yml"
    play.write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [TASKS["fleet.tls.certificate_files_info"]]}])
    )
    (result,) = run_playbook(play, inventory).check().results(action="fleet.tls.certificate_files_info")
    found = result["files"]
    if len(found) != count // 2 * 2 or not all(each["pairs"] for each in found) or not result["complete"]:
        raise AssertionError(
            f"{len(found)} files of {count}, {sum(bool(each['pairs']) for each in found)} with their other half"
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    try:
        with Fleet("info", (Host("info1", "bookworm"),)) as fleet, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            archive = folder / "files.tar"
            archive.write_bytes(material(options.files))
            podman("cp", str(archive), f"{fleet.container('info1')}:/srv/files.tar")
            fleet.exec("info1", ["sh", "-c", f"mkdir -p {FOLDER} && tar -C {FOLDER} -xf /srv/files.tar"])
            fleet.exec("info1", ["sh", "-c", "cat > /srv/info-bench.sh"], stdin=OPENSSL.format(FOLDER) + "\n")
            check(fleet.inventory, folder, options.files)
            # One task more or less: what a playbook costs by itself is not the task's.
            rounds = {
                task: [
                    measured(fleet.inventory, folder, task, 2) - measured(fleet.inventory, folder, task, 1)
                    for _round in range(options.rounds)
                ]
                for task in TASKS
            }
        seconds = {task: statistics.median(each) for task, each in rounds.items()}
        own = seconds["fleet.tls.certificate_files_info"]
        print(f"{options.files} files on one host, one task, median of {options.rounds} rounds")
        for task, took in seconds.items():
            print(f"  {task:<40} {took:6.2f} s  {took / own:5.1f} x")
        return 0
    except (AssertionError, FleetError, PodmanError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
