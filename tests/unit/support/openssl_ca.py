# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA of openssl's behind a program, for issuer ``command``: it signs CSRs as users' own scripts do, or goes wrong in a chosen way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cryptography import x509

# What the program is: its modes are the ways in which such programs go wrong.
PROGRAM = r"""
import json, os, pathlib, subprocess, sys, time

folder, mode = pathlib.Path(sys.argv[1]), sys.argv[2]
csr = sys.stdin.read()
(folder / "told.json").write_text(json.dumps(dict(os.environ)))
env = os.environ


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True, text=True).stdout


def names():
    kinds = (("DNS", "DNS_NAMES"), ("IP", "IP_ADDRESSES"), ("URI", "URIS"), ("email", "EMAIL_ADDRESSES"))
    return [f"{kind}:{name}" for kind, variable in kinds for name in env[f"FLEET_TLS_{variable}"].split()]


def sign(csr, sans, signer="issuing", days=30, usages=None, start=None, subject="/"):
    with open(folder / "orders", "a") as stream:
        stream.write("x")
    work = folder / f"work-{os.getpid()}"
    work.mkdir(exist_ok=True)
    words = {"server_auth": "serverAuth", "client_auth": "clientAuth"}
    usages = [words[each] for each in env["FLEET_TLS_USAGES"].split()] if usages is None else usages
    (work / "ext").write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        + (f"extendedKeyUsage={','.join(usages)}\n" if usages else "")
        # Critical where the subject is empty (RFC 5280, 4.2.1.6): Python 3.13 refuses the certificate otherwise.
        + f"subjectAltName={'critical,' if subject == '/' else ''}{','.join(sans)}\n"
    )
    (work / "csr").write_text(csr)
    begin = time.time() - 3600 if start is None else time.time() + start
    stamp = lambda moment: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(moment))
    (work / "index.txt").write_text("")
    (work / "serial").write_text(f"{time.time_ns():016x}\n")
    (work / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index.txt\nnew_certs_dir=%s\nserial=%s/serial\ndefault_md=sha256\n"
        "policy=p\nemail_in_dn=no\nunique_subject=no\n[p]\ncommonName=optional\n" % (work, work, work)
    )
    openssl(
        "ca", "-batch", "-notext", "-config", str(work / "ca.cnf"), "-cert", str(folder / f"{signer}.pem"),
        "-keyfile", str(folder / f"{signer}.key"), "-in", str(work / "csr"), "-extfile", str(work / "ext"),
        "-startdate", stamp(begin), "-enddate", stamp(begin + days * 86400), "-subj", subject, "-out", str(work / "leaf"),
    )
    leaf = (work / "leaf").read_text()
    (folder / "last.pem").write_text(leaf)
    return leaf


def other_csr():
    return openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x")


issuing = (folder / "issuing.pem").read_text()
if mode == "refuses-api":
    mode = "fails" if env["FLEET_TLS_CERTIFICATE"] == "api" else "good"
if (folder / "mode").exists():
    mode = (folder / "mode").read_text().strip()
if mode == "good":
    sys.stdout.write(sign(csr, names()) + issuing)
elif mode == "slow":
    time.sleep(2)
    sys.stdout.write(sign(csr, names()) + issuing)
elif mode == "undated":
    time.sleep(1.1)
    sys.stdout.write(sign(csr, names(), start=0) + issuing)
elif mode == "fails":
    sys.exit(print("out of coffee", file=sys.stderr) or 7)
elif mode == "killed":
    os.kill(os.getpid(), 9)
elif mode == "sleeps":
    print("still waiting", file=sys.stderr, flush=True)
    time.sleep(300)
elif mode == "blurts":
    print(f"my token is {env['CA_TOKEN']} \x1b[31mand this is red\x1b[0m", file=sys.stderr)
    sys.exit(1)
elif mode == "nonsense":
    print("<html>503 Service Unavailable</html>")
elif mode == "truncated":
    sys.stdout.write((sign(csr, names()) + issuing)[:-200])
elif mode == "endless":
    while True:
        sys.stdout.write("x" * 65536)
elif mode == "another-key":
    sys.stdout.write(sign(other_csr(), names()) + issuing)
elif mode == "other-names":
    sys.stdout.write(sign(csr, ["DNS:evil.example"]) + issuing)
elif mode == "more-names":
    sys.stdout.write(sign(csr, [*names(), "DNS:evil.example"]) + issuing)
elif mode == "an-administrator":
    sys.stdout.write(sign(csr, names(), subject="/CN=db-admin") + issuing)
elif mode == "copies":
    # As the simplest scripts of users do: all that the CSR has goes into the certificate.
    signing = ["-CA", str(folder / "issuing.pem"), "-CAkey", str(folder / "issuing.key"), "-set_serial", "0x%x" % time.time_ns()]
    sys.stdout.write(openssl("x509", "-req", "-copy_extensions", "copyall", "-days", "30", *signing, data=csr) + issuing)
elif mode == "no-usage":
    sys.stdout.write(sign(csr, names(), usages=[]) + issuing)
elif mode == "expired":
    sys.stdout.write(sign(csr, names(), start=-40 * 86400) + issuing)
elif mode == "not-yet-valid":
    sys.stdout.write(sign(csr, names(), start=86400) + issuing)
elif mode == "brief":
    sys.stdout.write(sign(csr, names(), start=-20 * 86400) + issuing)
elif mode == "out-of-order":
    sys.stdout.write(issuing + sign(csr, names()))
elif mode == "untidy":
    others = [(folder / f"{name}.pem").read_text() for name in ("root", "stranger")]
    sys.stdout.write("".join([sign(csr, names()), *others, sign(other_csr(), names()), issuing, issuing]))
elif mode == "without-intermediate":
    sys.stdout.write(sign(csr, names()))
elif mode == "stranger":
    sys.stdout.write(sign(csr, names(), signer="stranger"))
elif mode == "revokes":
    (folder / "revoked.pem").write_text(csr)
elif mode != "nothing":
    sys.exit(f"no such mode: {mode}")
"""


class OpensslCa:
    """Root, issuing CA and a stranger's root in ``folder``, and the program that signs with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.root = folder / "root.pem"
        (folder / "program.py").write_text(PROGRAM)
        self.make("root", None)
        self.make("stranger", None)
        self.make("issuing", "root")

    def make(self, name: str, signer: str | None) -> None:
        """A CA certificate and its key."""
        extensions = self.folder / "ca.ext"
        extensions.write_text(
            "[v3]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        key, csr, out = (self.folder / f"{name}{suffix}" for suffix in (".key", ".csr", ".pem"))
        self.openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(key))
        self.openssl("req", "-new", "-key", str(key), "-subj", f"/CN=openssl {name}", "-out", str(csr))
        signing = ["-signkey", str(key)]
        if signer is not None:
            above = [str(self.folder / f"{signer}{suffix}") for suffix in (".pem", ".key")]
            signing = ["-CA", above[0], "-CAkey", above[1], "-set_serial", "7"]
        self.openssl(
            "x509", "-req", "-in", str(csr), *signing, "-days", "400", "-extfile", str(extensions), "-extensions", "v3",
            "-out", str(out),
        )  # fmt: skip

    @staticmethod
    def openssl(*arguments: str) -> None:
        """Run it."""
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)

    def command(self, mode: str = "good") -> list[str]:
        """The option ``command`` or ``revoke``."""
        return [sys.executable, str(self.folder / "program.py"), str(self.folder), mode]

    def change_mode(self, mode: str) -> None:
        """How the program behaves from now on, whatever its argument says."""
        (self.folder / "mode").write_text(mode)

    def told(self) -> dict[str, str]:
        """The environment of the program's last run."""
        return dict(json.loads((self.folder / "told.json").read_text()))

    def orders(self) -> int:
        """How many certificates it has signed."""
        path = self.folder / "orders"
        return len(path.read_text()) if path.exists() else 0

    def last_leaf(self) -> bytes:
        """What it signed last."""
        return (self.folder / "last.pem").read_bytes()

    def revoked(self) -> x509.Certificate:
        """What came on standard input in mode ``revokes``."""
        return x509.load_pem_x509_certificate((self.folder / "revoked.pem").read_bytes())

    @property
    def root_certificate(self) -> x509.Certificate:
        """The root."""
        return x509.load_pem_x509_certificate(self.root.read_bytes())
