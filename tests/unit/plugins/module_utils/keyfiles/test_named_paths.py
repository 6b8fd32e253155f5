# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files configurations name, in the languages of several servers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.named_paths import named_paths


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    for name in (
        "tls/www.pem",
        "tls/www.key",
        "tls/certs/a.pem",
        "tls/certs/b.pem",
        "tls/certs/.a.pem.before-fleet-tls",
        "conf/beside.crt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('ssl_certificate {0}/tls/www.pem;ssl_certificate_key "{0}/tls/www.key";', ["tls/www.pem", "tls/www.key"]),
        ("SSLCertificateFile '{0}/tls/www.pem'\n  # SSLCertificateFile {0}/tls/www.key", ["tls/www.pem"]),
        ("smtpd_tls_cert_file={0}/tls/www.pem", ["tls/www.pem"]),
        ("ssl_cert = <{0}/tls/www.pem", ["tls/www.pem"]),
        ('{{certfile, "{0}/tls/www.pem"}}.', ["tls/www.pem"]),
        ("bind :443 ssl crt {0}/tls/certs/ alpn h2", ["tls/certs/a.pem", "tls/certs/b.pem"]),
        ("crt-base {0}/tls\nbind :443 ssl crt www.pem", ["tls/www.pem"]),
        ("ssl_certificate beside.crt;", ["conf/beside.crt"]),
        ("ssl_certificate {0}/tls/none.pem; root {0}/tls; include mime.types;", []),
    ],
)
def test_paths_in_configurations(etc: Path, text: str, found: list[str]) -> None:
    (etc / "conf/sites").mkdir()
    (etc / "conf/server.conf").write_text(text.format(etc))
    named = named_paths({"server": [f"{etc}/conf/**"], "nobody": [f"{etc}/none/**"]})
    assert named == ({"server": [str(etc / each) for each in found]} if found else {})


def test_what_is_no_text_or_cannot_be_read_is_passed_over(etc: Path) -> None:
    (etc / "conf/binary").write_bytes(b"\xff\x00" + str(etc / "tls/www.pem").encode() + b"\x00")
    (etc / "conf/long").write_bytes(b"x" * (2**20 + 1))
    os.mkfifo(etc / "conf/pipe")
    (etc / "conf/dangling").symlink_to("nowhere")
    (etc / "conf/linked").symlink_to("../tls/www.key")
    assert set(named_paths({"server": [f"{etc}/conf/**"]}).get("server", ())) <= {str(etc / "tls/www.pem")}
