# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx accepts in several configurations, as fleet.tls.endpoint_info, sslyze and testssl.sh see it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, run_openssl
from local import nginx
from local.probing import LOCAL, play, probe
from tools import packages, venvs
from tools.ports import free_port

NAME = "www.example.com"
INTERMEDIATE = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
OLD = "ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-GCM-SHA384:AES128-SHA:AES256-GCM-SHA384:CAMELLIA128-SHA:@SECLEVEL=0"
ECDSA = "ssl_certificate {ecdsa.chain}; ssl_certificate_key {ecdsa.key};"
RSA = "ssl_certificate {rsa.chain}; ssl_certificate_key {rsa.key};"
SERVERS = {
    "modern": ("ssl_protocols TLSv1.3; ssl_ecdh_curve X25519:prime256v1:secp384r1;", ECDSA),
    "intermediate": (
        f"ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {INTERMEDIATE}; ssl_ecdh_curve X25519:prime256v1:secp384r1;",
        ECDSA + RSA,
    ),
    "old": (f"ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers {OLD}; ssl_dhparam {{dh}};", RSA),
}
PROFILES = ["mozilla_modern", "mozilla_intermediate", "mozilla_old", "nist_sp_800_52r2", "pci_dss_4_0_1"]
# The names that testssl.sh has for what it looks for.
VERSIONS = {"TLS1_3": "TLSv1.3", "TLS1_2": "TLSv1.2", "TLS1_1": "TLSv1.1", "TLS1": "TLSv1", "SSLv3": "SSLv3"}


class Seen(NamedTuple):
    """The servers' ports, and what our own module says of each, by their names."""

    ports: dict[str, int]
    ours: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("accepts")
    ca = Authority(folder / "ca")
    ecdsa, rsa, dh = ca.issue("www", f"DNS:{NAME}"), ca.issue("www-rsa", f"DNS:{NAME}", rsa=2048), folder / "dh.pem"
    run_openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "dh_param:ffdhe2048", "-out", str(dh))
    ports = {name: free_port() for name in SERVERS}
    servers = "".join(
        f"server {{{{ listen 127.0.0.1:{ports[name]} ssl; {settings} {pair} }}}}"
        for name, (settings, pair) in SERVERS.items()
    ).format(ecdsa=ecdsa, rsa=rsa, dh=dh)
    with nginx.running(folder / "nginx", servers, ports["modern"]):
        endpoints = [f"127.0.0.1:{port}" for port in ports.values()]
        options = {"server_name": NAME, "enumerate": True, "profiles": PROFILES, "timeout": "60s"}
        told = probe(folder, LOCAL, endpoints=endpoints, origin="host", **options)["endpoints"]
        yield Seen(ports, dict(zip(SERVERS, told)))


def test_sslyze_sees_the_same(seen: Seen) -> None:
    program = [venvs.ensure("sslyze") / "bin" / "python", Path(__file__).with_name("sslyze_accepts.py")]
    targets = [f"127.0.0.1|{port}|{NAME}" for port in seen.ports.values()]
    done = subprocess.run([*program, *targets], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = {int(port): told for port, told in json.loads(done.stdout).items()}
    for name, port in seen.ports.items():
        accepts = seen.ours[name]["accepts"]
        ours = {version: sorted(each["suites"]) for version, each in accepts["protocols"].items()}
        assert accepts["error"] is None and ours == theirs[port]["protocols"], name
        # It asks each curve for one version only.
        curves = {group for each in accepts["protocols"].values() for group in each["groups"]}
        assert set(theirs[port]["curves"]) <= curves, name


def test_testssl_sees_the_same(seen: Seen, tmp_path: Path) -> None:
    packages.ensure("testssl")
    report, port = tmp_path / "report.json", seen.ports["intermediate"]
    wanted = ["-p", "-f", "--mapping", "no-openssl", "--quiet", "--color", "0", "--warnings", "batch"]
    subprocess.run(
        [packages.find("testssl") or "testssl", *wanted, "--jsonfile", str(report), f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=False,
    )  # fmt: skip
    told = {each["id"]: each["finding"] for each in json.loads(report.read_text())}
    protocols = seen.ours["intermediate"]["accepts"]["protocols"]
    assert {ours for theirs, ours in VERSIONS.items() if not told[theirs].startswith("not offered")} == set(protocols)
    # All that are here have forward secrecy.
    assert set(told["PFS_ciphers"].split()) == {suite for each in protocols.values() for suite in each["suites"]}
    curves = {"secp256r1" if each == "prime256v1" else each.lower() for each in told["PFS_ECDHE_curves"].split()}
    assert curves == {group for each in protocols.values() for group in each["groups"]}


def test_what_each_was_configured_to_accept(seen: Seen) -> None:
    modern, intermediate, old = (seen.ours[name]["accepts"]["protocols"] for name in SERVERS)
    assert set(modern["TLSv1.3"]["groups"]) == {"x25519", "secp256r1", "secp384r1"}
    assert modern["TLSv1.3"]["signature_schemes"] == ["ecdsa_secp256r1_sha256"]
    both = {"ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"}
    assert both <= set(intermediate["TLSv1.3"]["signature_schemes"])
    assert both <= set(intermediate["TLSv1.2"]["signature_schemes"]) and len(intermediate["TLSv1.2"]["suites"]) == 6
    assert "dh-2048" in old["TLSv1.2"]["groups"] and "dh-2048" not in old["TLSv1"]["groups"]
    assert list(old) == ["TLSv1.2", "TLSv1.1", "TLSv1"]


def test_what_the_profiles_say(seen: Seen) -> None:
    def conforming(name: str) -> set[str]:
        return {profile for profile, judged in seen.ours[name]["profiles"].items() if judged["conforms"]}

    assert conforming("modern") == {"mozilla_modern", "pci_dss_4_0_1"}
    # NIST's document is older than ChaCha20 in it, and Mozilla's old profile wants old versions.
    assert conforming("intermediate") == {"mozilla_intermediate", "pci_dss_4_0_1"}
    assert conforming("old") == set()
    violations = seen.ours["intermediate"]["profiles"]["nist_sp_800_52r2"]["violations"]
    assert violations and all("CHACHA20" in each["value"] for each in violations)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profiles": ["mozilla_modern"]}, "add enumerate: true"),
        ({"enumerate": True, "profiles": ["mozilla"]}, "mozilla"),
        ({"enumerate": True, "trace": True}, "leave out one of them"),
    ],
)
def test_wishes_that_do_not_go_together(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    result = play(tmp_path, [{"fleet.tls.endpoint_info": {"endpoints": ["127.0.0.1:1"], **options}}])
    assert result.rc != 0 and words in result.stdout + result.stderr
