# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.proof.canary import (
    Canary,
    bundle_takes,
    server_takes,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, tls_server
from tools.ports import free_port

NAME = "canary.fleet-tls.invalid"
NGINX = """
server {{
    listen 127.0.0.1:{port} ssl; server_name www.example.com; return 200 "hello";
    ssl_certificate {pair.chain}; ssl_certificate_key {pair.key};
    ssl_verify_client {verify}; ssl_client_certificate {ca};
}}
"""


@pytest.fixture(scope="module")
def cas(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    folder = tmp_path_factory.mktemp("cas")
    return Authority(folder / "old"), Authority(folder / "new")


def canary_of(ca: Authority) -> Canary:
    pair = ca.issue("canary", f"DNS:{NAME}")
    return Canary(pair.chain.read_bytes() + pair.key.read_bytes(), NAME)


def bundle(path: Path, *cas: Authority) -> str:
    path.write_text("".join(ca.root.pem for ca in cas))
    return str(path)


def test_a_bundle_takes_what_its_cas_have_signed(cas: tuple[Authority, Authority], tmp_path: Path) -> None:
    old, new = cas
    for wanted in ((old,), (new,), (old, new)):
        path = bundle(tmp_path / "bundle.pem", *wanted)
        for ca in cas:
            taken, error = bundle_takes(path, canary_of(ca))
            assert taken is (ca in wanted) and (error is None) is taken
            assert taken or (path in str(error) and "issuer" in str(error))


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is missing"), (b"", "cannot be used"), (b"no PEM", "cannot be used")]
)
def test_a_bundle_that_is_none(
    content: bytes | None, said: str, cas: tuple[Authority, Authority], tmp_path: Path
) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    taken, error = bundle_takes(str(path), canary_of(cas[0]))
    assert not taken and said in str(error) and str(path) in str(error)


def test_a_canary_for_another_name_is_not_taken(cas: tuple[Authority, Authority], tmp_path: Path) -> None:
    pair = cas[0].issue("other", "DNS:other.invalid")
    taken, error = bundle_takes(
        bundle(tmp_path / "b", cas[0]), Canary(pair.chain.read_bytes() + pair.key.read_bytes(), NAME)
    )
    assert not taken and "mismatch" in str(error)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("required", [True, False])
def test_servers_that_verify_in_the_handshake(
    version: ssl.TLSVersion, required: bool, cas: tuple[Authority, Authority]
) -> None:
    old, new = cas
    pair = old.issue("www", "DNS:www.example.com")
    with tls_server(pair, version=version, client_ca=old.root.certificate, require_client=required) as address:
        endpoint = Endpoint(address.host, address.port, "www.example.com")
        verdict = server_takes(endpoint, canary_of(old))
        assert (verdict.outcome, verdict.error, verdict.leaf) == ("accepted", None, pair.pem)
        verdict = server_takes(endpoint, canary_of(new))
        assert verdict.outcome == "refused" and "alert" in str(verdict.error) and verdict.leaf == pair.pem


def test_a_server_that_asks_for_nothing_and_one_that_is_not_there(cas: tuple[Authority, Authority]) -> None:
    with tls_server(cas[0].issue("www", "DNS:www.example.com")) as address:
        verdict = server_takes(Endpoint(address.host, address.port), canary_of(cas[0]))
        assert (verdict.outcome, verdict.error) == (None, None)
    verdict = server_takes(Endpoint("127.0.0.1", free_port()), canary_of(cas[0]))
    assert verdict.outcome is verdict.leaf is None and "refused" in str(verdict.error)


@pytest.mark.parametrize("verify", ["on", "optional"])
def test_nginx_which_refuses_after_the_handshake(verify: str, cas: tuple[Authority, Authority], tmp_path: Path) -> None:
    old, new = cas
    pair: Pair = old.issue("www", "DNS:www.example.com")
    endpoint = Endpoint("127.0.0.1", free_port(), "www.example.com")
    with NginxService(tmp_path) as nginx:
        text = NGINX.format(port=endpoint.port, pair=pair, verify=verify, ca=old.root.certificate)
        (nginx.conf / "site.conf").write_text(text)
        nginx.start()
        verdict = server_takes(endpoint, canary_of(old))
        assert (verdict.outcome, verdict.error, verdict.leaf) == ("accepted", None, pair.pem)
        verdict = server_takes(endpoint, canary_of(new))
        assert (verdict.outcome, verdict.error) == ("refused", "HTTP/1.1 400 Bad Request")


def test_nothing_of_it_is_printed() -> None:
    assert "secret" not in repr(Canary(b"secret", NAME))
