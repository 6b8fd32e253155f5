# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of somebody else's are read as they are, or refused with what is wrong with them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.adopting import (
    adoptable,
    adopted_key,
    present_content,
    present_pair,
)
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, run_openssl


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    return [authority.issue("one"), authority.issue("two", rsa=2048)]


def source(folder: Path, chain: str | bytes, key: str | bytes) -> dict[str, str]:
    """Files with these contents."""
    for name, content in (("chain", chain), ("key", key)):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return {"certificate": str(folder / "chain"), "private_key": str(folder / "key")}


def code(wanted: dict[str, str]) -> Any:
    found = adoptable(wanted)
    assert found is not None and found["chain"] == []
    return found["error"]["code"]


def test_the_forms_that_keys_and_chains_have(tmp_path: Path, pairs: list[Pair]) -> None:
    for pair in pairs:
        run_openssl("pkey", "-in", str(pair.key), "-traditional", "-out", str(tmp_path / "old"))
        text = f"some text\n{pair.chain.read_text()}"
        for key in (pair.key.read_text(), (tmp_path / "old").read_text()):
            chain, found = present_pair(source(tmp_path, text, key))
            assert "".join(each.decode() for each in chain) == pair.chain.read_text() and found.decode().strip() in key
    both = tmp_path / "both"
    both.write_text(pairs[0].key.read_text() + pairs[0].chain.read_text())
    assert present_pair({"certificate": str(both), "private_key": str(both)})[1] == pairs[0].key.read_bytes()


def test_what_is_no_pair(tmp_path: Path, pairs: list[Pair]) -> None:
    one, two = pairs
    chain, key = one.chain.read_text(), one.key.read_text()
    assert adoptable({"certificate": str(tmp_path / "no"), "private_key": str(tmp_path / "none")}) is None
    assert code(source(tmp_path, chain, two.key.read_text())) == "adopt_mismatch"
    assert code(source(tmp_path, "nothing", key)) == "adopt_unreadable"
    assert code(source(tmp_path, one.der, key)) == "adopt_unreadable"
    assert code(source(tmp_path, chain.replace("M", "?", 3), key)) == "adopt_unreadable"
    assert code(source(tmp_path, chain, key + two.key.read_text())) == "adopt_unreadable"
    for old in ([], ["-traditional"]):
        secret = ["-aes256", "-passout", "pass:secret", "-out", str(tmp_path / "secret")]
        run_openssl("pkey", "-in", str(one.key), *old, *secret)
        assert code(source(tmp_path, chain, (tmp_path / "secret").read_text())) == "adopt_encrypted"
    wanted = source(tmp_path, chain, key)
    os.unlink(wanted["private_key"])
    assert code(wanted) == "adopt_missing"
    os.mkfifo(wanted["private_key"])
    assert code(wanted) == "io"


def test_it_waits_for_a_renewal_to_end(tmp_path: Path, pairs: list[Pair]) -> None:
    one, two = pairs
    wanted = source(tmp_path, two.chain.read_text(), one.key.read_text())

    def end() -> None:
        time.sleep(0.3)
        (tmp_path / "new").write_bytes(two.key.read_bytes())
        os.rename(tmp_path / "new", wanted["private_key"])

    other = threading.Thread(target=end)
    other.start()
    try:
        assert present_pair(wanted)[1] == two.key.read_bytes()
    finally:
        other.join()


def test_another_pair_than_was_agreed_to(tmp_path: Path, pairs: list[Pair]) -> None:
    one, two = pairs
    wanted = source(tmp_path, two.chain.read_text(), two.key.read_text())
    assert adopted_key(wanted, two.pem.encode()) == two.key.read_bytes()
    with pytest.raises(StepError, match="another certificate") as error:
        adopted_key(wanted, one.pem.encode())
    assert error.value.code == "adopt_changed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has power to lend")
def test_an_ordinary_users_link_to_somebody_elses_key(tmp_path: Path, pairs: list[Pair]) -> None:
    tmp_path.chmod(0o755)
    wanted = source(tmp_path, pairs[0].chain.read_text(), pairs[0].key.read_text())
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    link = home / "key"
    link.symlink_to(wanted["private_key"])
    os.chown(link, 65534, 65534, follow_symlinks=False)
    assert code({**wanted, "private_key": str(link)}) == "unsafe_path"


def test_the_very_bytes_stay_where_they_say_the_same(tmp_path: Path, pairs: list[Pair]) -> None:
    pair, path = pairs[0], tmp_path / "www.pem"
    content = pair.chain.read_bytes() + pair.key.read_bytes()
    output = {"path": str(path), "format": "combined"}
    parameters = b"-----BEGIN DH PARAMETERS-----\nMEYCQQ==\n-----END DH PARAMETERS-----\n"
    for same in (pair.key.read_bytes() + b"# text\n" + pair.chain.read_bytes(), content + parameters):
        path.write_bytes(same)
        assert present_content(output, content) == same
    assert present_content({**output, "format": "pkcs12"}, content) is None
    strange = content + b"-----BEGIN OPENSSH PRIVATE KEY-----\nMEYCQQ==\n-----END OPENSSH PRIVATE KEY-----\n"
    for other in (
        pair.chain.read_bytes(),
        content + pairs[1].pem.encode(),
        content + pairs[1].key.read_bytes(),
        strange,
        b"",
    ):
        path.write_bytes(other)
        assert present_content(output, content) is None
    path.unlink()
    assert present_content(output, content) is None
