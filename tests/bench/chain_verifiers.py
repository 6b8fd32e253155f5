# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who judges chains: this collection, the openssl program, ``cryptography``, and Go where it is installed."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cryptography
from cryptography import x509
from cryptography.x509 import verification

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import judge_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain
from bench.chain_suites import ChainCase

# Whether each of the cases is taken; None: it cannot be asked about this one.
Verdicts = list[bool | None]
Verifier = Callable[[Sequence[ChainCase]], Verdicts]

GO_PROGRAM = r"""
package main

import (
    "bufio"
    "crypto/x509"
    "encoding/json"
    "encoding/pem"
    "fmt"
    "os"
    "time"
)

type request struct {
    Leaf    string
    Others  []string
    Anchors []string
    Moment  int64
    Usage   string
    Name    string
}

func load(text string) *x509.Certificate {
    block, _ := pem.Decode([]byte(text))
    if block == nil {
        return nil
    }
    certificate, err := x509.ParseCertificate(block.Bytes)
    if err != nil {
        return nil
    }
    return certificate
}

func pool(texts []string) *x509.CertPool {
    found := x509.NewCertPool()
    for _, text := range texts {
        if certificate := load(text); certificate != nil {
            found.AddCert(certificate)
        }
    }
    return found
}

func taken(asked request) bool {
    leaf := load(asked.Leaf)
    if leaf == nil {
        return false
    }
    usages := map[string]x509.ExtKeyUsage{
        "server_auth": x509.ExtKeyUsageServerAuth, "client_auth": x509.ExtKeyUsageClientAuth, "": x509.ExtKeyUsageAny,
    }
    _, err := leaf.Verify(x509.VerifyOptions{
        DNSName: asked.Name, Roots: pool(asked.Anchors), Intermediates: pool(asked.Others),
        CurrentTime: time.Unix(asked.Moment, 0), KeyUsages: []x509.ExtKeyUsage{usages[asked.Usage]},
    })
    return err == nil
}

func main() {
    scanner := bufio.NewScanner(os.Stdin)
    scanner.Buffer(nil, 64<<20)
    for scanner.Scan() {
        var asked request
        if json.Unmarshal(scanner.Bytes(), &asked) != nil {
            os.Exit(1)
        }
        fmt.Println(taken(asked))
    }
}
"""


def readable(texts: Iterable[str]) -> list[x509.Certificate]:
    """The certificates that can be read, as :func:`parse_pem_chain` does."""
    found: list[x509.Certificate] = []
    for text in texts:
        with contextlib.suppress(CertificateError):
            found += parse_pem_chain(text)
    return found


def ours(cases: Sequence[ChainCase]) -> Verdicts:
    """The judge of this collection."""
    return [judged(case) for case in cases]


def judged(case: ChainCase) -> bool:
    """One case."""
    leaf = readable([case.leaf])
    if not leaf:
        return False
    purposes = (case.usage,) if case.usage else ()
    names = (case.name,) if case.name and case.kind in ("DNS", "IP") else ()
    chain = (leaf[0], *readable(case.others))
    verdict = judge_chain(chain, readable(case.anchors), now=case.moment, purposes=purposes, names=names)
    return not verdict.problems


def openssl(cases: Sequence[ChainCase]) -> Verdicts:
    """The program, as Python and curl call it: any anchor counts, at the usual security level."""
    with tempfile.TemporaryDirectory() as folder:
        return [openssl_takes(case, Path(folder)) for case in cases]


def openssl_takes(case: ChainCase, folder: Path) -> bool:
    """One case."""
    for name, texts in (("leaf", [case.leaf]), ("others", case.others), ("anchors", case.anchors)):
        (folder / name).write_text("\n".join(texts))
    command = ["openssl", "verify", "-partial_chain", "-attime", str(int(case.moment.timestamp()))]
    if case.suite != "PKITS":
        command += ["-auth_level", "2"]
    command += ["-trusted", str(folder / "anchors")]
    command += ["-untrusted", str(folder / "others")] if case.others else []
    command += ["-purpose", {"server_auth": "sslserver", "client_auth": "sslclient"}[case.usage]] if case.usage else []
    option = {"DNS": "-verify_hostname", "IP": "-verify_ip"}.get(case.kind or "")
    command += [option, case.name] if option and case.name else []
    done = subprocess.run([*command, str(folder / "leaf")], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def pyca(cases: Sequence[ChainCase]) -> Verdicts:
    """``cryptography``'s verifier, which knows servers only."""
    return [pyca_takes(case) for case in cases]


def pyca_takes(case: ChainCase) -> bool | None:
    """One case; None: it is not about a server's name."""
    if case.usage != "server_auth" or case.kind not in ("DNS", "IP") or case.name is None:
        return None
    try:
        subject: verification.Subject = (
            x509.DNSName(case.name) if case.kind == "DNS" else x509.IPAddress(ipaddress.ip_address(case.name))
        )
        leaf, *_rest = x509.load_pem_x509_certificates(case.leaf.encode())
        anchors = [x509.load_pem_x509_certificate(each.encode()) for each in case.anchors]
        others = [x509.load_pem_x509_certificate(each.encode()) for each in case.others]
        builder = verification.PolicyBuilder().store(verification.Store(anchors)).time(case.moment.replace(tzinfo=None))
        builder.build_server_verifier(subject).verify(leaf, others)
    except (verification.VerificationError, ValueError):
        return False
    return True


def go(cases: Sequence[ChainCase]) -> Verdicts:
    """Go's crypto/x509, by a small program that is built for this."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "main.go"
        source.write_text(GO_PROGRAM)
        built = Path(folder) / "judge"
        subprocess.run(["go", "build", "-o", str(built), str(source)], cwd=folder, check=True, timeout=600)
        asked = "\n".join(map(go_request, cases))
        done = subprocess.run([str(built)], input=asked, capture_output=True, text=True, check=True, timeout=600)
    return [line == "true" for line in done.stdout.split()]


def go_request(case: ChainCase) -> str:
    """One case as a line for it."""
    name = f"[{case.name}]" if case.kind == "IP" else case.name if case.kind == "DNS" else ""
    return json.dumps(
        {
            "Leaf": case.leaf,
            "Others": case.others,
            "Anchors": case.anchors,
            "Moment": int(case.moment.timestamp()),
            "Usage": case.usage or "",
            "Name": name or "",
        }
    )


def verifiers() -> dict[str, Verifier]:
    """Those that are here, by name and version."""
    found: dict[str, Verifier] = {"fleet.tls": ours, version_of("openssl", "version"): openssl}
    found[f"cryptography {cryptography.__version__}"] = pyca
    if shutil.which("go"):
        found[version_of("go", "version")] = go
    return found


def version_of(*command: str) -> str:
    """A program's name and version, in short."""
    words = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    return words[2].replace("go", "Go ") if command[0] == "go" else " ".join(words[:2])
