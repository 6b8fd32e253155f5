# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.pair.copies import pair_copy
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import Layout
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import run_openssl


@pytest.mark.parametrize(("form", "content"), [("combined", b"leaf chain key "), ("chain", b"chain ")])
def test_a_pair_in_each_form(tmp_path: Path, form: str, content: bytes) -> None:
    install(tmp_path, "chain ")
    assert pair_copy(str(tmp_path), "www", form) == content


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("EC", b"EC PRIVATE KEY"), ("RSA", b"RSA PRIVATE KEY"), ("ED25519", b"PRIVATE KEY")]
)
def test_a_key_beside_its_leaf_is_in_the_form_that_apache_takes(tmp_path: Path, algorithm: str, kind: bytes) -> None:
    more = ["-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "EC" else []
    generation = install(tmp_path, "chain ")
    run_openssl("genpkey", "-algorithm", algorithm, *more, "-out", str(generation / "privkey.pem"))
    content = pair_copy(str(tmp_path), "www", "leaf") or b""
    assert content.startswith(b"leaf -----BEGIN " + kind) and pair_copy(str(tmp_path), "www", "leaf") == content
    (tmp_path / "copy.pem").write_bytes(content.removeprefix(b"leaf "))
    run_openssl("pkey", "-in", str(tmp_path / "copy.pem"), "-check", "-noout")


def test_the_chain_of_a_leaf_that_a_root_signed_is_no_empty_file(tmp_path: Path) -> None:
    install(tmp_path, "")
    assert pair_copy(str(tmp_path), "www", "chain") == b"leaf "
    assert pair_copy(str(tmp_path), "www", "combined") == b"leaf key "


def test_what_is_not_there_or_not_whole(tmp_path: Path) -> None:
    assert pair_copy(str(tmp_path), "www", "combined") is None
    install(tmp_path, "chain ").joinpath("privkey.pem").unlink()
    assert pair_copy(str(tmp_path), "www", "combined") is None


def install(folder: Path, chain: str) -> Path:
    """The files of a generation, which need not be certificates."""
    layout = Layout(str(folder), "www")
    generation = Path(layout.generation(1))
    generation.mkdir(parents=True)
    files = {"cert.pem": "leaf ", "chain.pem": chain, "fullchain.pem": f"leaf {chain}", "privkey.pem": "key "}
    for name, content in files.items():
        (generation / name).write_text(content)
    Path(layout.live).parent.mkdir()
    Path(layout.live).symlink_to(layout.target(1))
    return generation
