# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compromised hosts whose CSRs ask for more than the inventory gives them, and programs that would sign whatever they find there.

What a host runs as ``openssl`` is the attacker's.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issued import may_sign
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.command import CommandIssuer
from ansible_collections.fleet.tls.tests.unit.support.openssl_ca import OpensslCa
from ansible_collections.fleet.tls.tests.unit.support.pki import make_request, make_spec, make_store
from local.hosts import ISSUERS, Hosts, ledger, message
from local.test_foreign_issuers import documented
from tools.playbook import run_playbook

# What it adds to the configuration of a CSR, in which section, and what is said of it.
ATTACKS = {
    "authority": ("extensions", "basicConstraints = critical,CA:TRUE", "extension basicConstraints (2.5.29.19)"),
    "signer": ("extensions", "keyUsage = keyCertSign", "extension keyUsage (2.5.29.15)"),
    "masters": ("subject", "organizationName = system:masters", "subject 'O=system:masters'"),
    "admin": ("subject", "commonName = db-admin", "subject 'CN=db-admin'"),
    "user": ("names", "otherName.1 = 1.3.6.1.4.1.311.20.2.3;UTF8:admin", "asks for other names than the inventory"),
}
OPENSSL = """#!/bin/sh
# The configuration comes by a descriptor, and its names say whose it is. Without -subj the subject comes from it.
if [ "$1" = req ] && grep -q '{domain}' "$6"; then
  sed -e '/keyUsage = critical/d' -e 's/^\\[{section}\\]$/&\\n{line}/' "$6" > {changed}
  [ {section} = subject ] && exec {openssl} req -new -key "$4" -config {changed}
  exec {openssl} req -new -key "$4" -config {changed} -subj /
fi
exec {next} "$@"
"""


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> OpensslCa:
    return OpensslCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def script(ca: OpensslCa, tmp_path: Path) -> Path:
    """The documented example."""
    path = tmp_path / "corporate-ca"
    path.write_text(documented("command.md", "sh").replace("/srv/pki", str(ca.folder)))
    path.chmod(0o755)
    return path


@pytest.fixture
def attackers(tmp_path: Path) -> Iterator[str]:
    """A PATH with an ``openssl`` that is each attacker's on its own host, and the real one elsewhere."""
    real = program = str(shutil.which("openssl"))
    for host, (section, line, _words) in ATTACKS.items():
        folder = tmp_path / f"bin-{host}"
        folder.mkdir()
        changed = folder / "request.cnf"
        text = OPENSSL.format(
            domain=f"www.{host}.example.com", section=section, line=line, changed=changed, openssl=real, next=program
        )
        program = str(folder / "openssl")
        Path(program).write_text(text)
        Path(program).chmod(0o755)
    yield f"{Path(program).parent}:{os.environ['PATH']}"


def test_what_a_csr_smuggles_is_signed_by_nobody(ca: OpensslCa, script: Path, attackers: str, tmp_path: Path) -> None:
    hosts = Hosts(tmp_path / "hosts", {name: ["www"] for name in (*ATTACKS, "good")})
    anchors = {"type": "command", "anchors": str(ca.root)}
    issuers = {
        "copies": {**anchors, "command": ca.command("copies")},
        "script": {**anchors, "command": [str(script)]},
        **ISSUERS,
    }
    wishes = {name: "script" if name in ("masters", "admin") else "copies" for name in ATTACKS}
    chosen = {
        site.host: {"tls_certificates": [site.certificate(issuer=wishes.get(site.host, "copies"), services=[])]}
        for site in hosts
    }
    run = run_playbook(hosts.playbook(issuers=issuers), hosts.inventory(chosen), env={"PATH": attackers})
    for name, (_section, _line, words) in ATTACKS.items():
        assert words in message(run, name)
        assert not hosts[name].live.exists()
    # The same program, and a host that is nobody's but ours.
    assert run.stats["good"]["failures"] == 0 and hosts["good"].live.exists()
    assert [row["host"] for row in ledger(hosts.store)] == ["good"]


def hostile_csr(folder: Path) -> x509.CertificateSigningRequest:
    """All of it at once."""
    made = subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null",
         "-subj", "/O=system:masters/CN=db-admin", "-addext", "basicConstraints=critical,CA:TRUE",
         "-addext", "keyUsage=keyCertSign", "-addext", "subjectAltName=DNS:www.example.com,DNS:bank.example"],
        check=True, capture_output=True, timeout=300, cwd=folder,
    )  # fmt: skip
    return x509.load_pem_x509_csr(made.stdout)


def test_the_documented_script_takes_nothing_but_the_key(ca: OpensslCa, script: Path, tmp_path: Path) -> None:
    options = {"command": [str(script)], "anchors": str(ca.root)}
    issuer = CommandIssuer("ours", options, make_store(tmp_path / "store"))
    leaf, _issuing = issuer.order(replace(make_request(make_spec()), csr=hostile_csr(tmp_path)))
    assert leaf.subject == x509.Name([]) and not may_sign(leaf)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("www.example.com")]


def test_a_program_that_copies_is_caught_by_its_answer(ca: OpensslCa, tmp_path: Path) -> None:
    options = {"command": ca.command("copies"), "anchors": str(ca.root)}
    issuer = CommandIssuer("ours", options, make_store(tmp_path / "store"))
    hostile = replace(make_request(make_spec()), csr=hostile_csr(tmp_path))
    (answer,) = issuer.issue([hostile], dt.datetime.now(dt.timezone.utc))
    assert isinstance(answer, CertificateError) and "answered with other names" in str(answer)
    assert list(issuer.store.issuances()) == []
