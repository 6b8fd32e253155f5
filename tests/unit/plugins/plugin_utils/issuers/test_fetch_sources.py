# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and real https servers as sources."""

from __future__ import annotations

import datetime as dt
import http.server
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.fetch_sources import (
    FileSource,
    Web,
    WebSource,
    parse_source,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.pem_option import LONGEST_FILE
from ansible_collections.fleet.tls.tests.unit.support.given import Makers, server_pair
from ansible_collections.fleet.tls.tests.unit.support.https_files import Files, https_files

MAKERS = Makers(dt.datetime.now(dt.timezone.utc))
TOKEN = "Bearer t0ken-of-mine"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("https")
    (folder / "root.pem").write_text(MAKERS.anchors())
    return folder


@pytest.fixture
def files(folder: Path) -> Iterator[Files]:
    with https_files(*server_pair(MAKERS, folder)) as files:
        yield files


def web(folder: Path, **options: Any) -> Web:
    return Web(**{"ca_certificate": str(folder / "root.pem"), "timeout": 20.0, **options})


def error_of(source: WebSource | FileSource) -> str:
    with pytest.raises(TlsError) as caught:
        source.read()
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize(("tags", "again"), [("etag", 304), ("date", 304), ("none", 200)])
def test_unchanged_and_changed(tags: str, again: int, files: Files, folder: Path) -> None:
    files.tags = tags
    source = WebSource(files.put("/www.pem", "one"), web(folder))
    first = source.read()
    assert first.data == b"one" and source.changed(first.tag) is None
    files.put("/www.pem", "two")
    changed = source.changed(first.tag)
    assert changed is not None and changed.data == b"two" and changed.tag != first.tag
    assert files.statuses() == [200, again, 200] and files.agents == {"fleet.tls"}


def test_headers_and_no_secret_in_messages(files: Files, folder: Path) -> None:
    files.token = TOKEN
    url = files.put("/www.pem", "one") + "?key=s3cret#s3cret"
    files.contents["/www.pem?key=s3cret"] = b"one"
    assert WebSource(url, web(folder, headers={"Authorization": TOKEN})).read().data == b"one"
    source = WebSource(
        url.replace("https://", "https://user:s3cret@"), web(folder, headers={"Authorization": "wrong-t0ken"})
    )
    words = error_of(source)
    assert f"https://localhost:{files.url.rpartition(':')[2]}/www.pem: the server answered 401. Check headers" in words
    assert "s3cret" not in words and "t0ken" not in words + repr(source.web) + repr(source.changed)


def test_a_server_that_is_not_trusted(files: Files, folder: Path) -> None:
    other = folder / "other.pem"
    other.write_text(Makers(dt.datetime.now(dt.timezone.utc)).anchors())
    for ca_certificate in (str(other), None):
        assert "certificate verify failed" in error_of(
            WebSource(files.put("/x", "x"), web(folder, ca_certificate=ca_certificate))
        )
    by_address = files.put("/x", "x").replace("localhost", "127.0.0.1")
    assert "certificate verify failed" in error_of(WebSource(by_address, web(folder)))
    assert files.asked == []


def test_client_certificates(folder: Path) -> None:
    with https_files(*server_pair(MAKERS, folder), client_ca=folder / "root.pem") as files:
        url = files.put("/www.pem", "one")
        chain, key = server_pair(MAKERS, folder, "client")
        mine = web(folder, client_certificate=str(chain), client_key=str(key))
        assert WebSource(url, mine).read().data == b"one"
        assert "localhost" in error_of(WebSource(url, web(folder)))
        assert files.statuses() == [200]


def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:1/stolen")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"-----BEGIN")


def huge(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(LONGEST_FILE * 2))
    handler.end_headers()
    handler.wfile.write(b"x" * (LONGEST_FILE * 2))


def no_http(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")


def always_unchanged(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(304)
    handler.end_headers()


@pytest.mark.parametrize(
    ("special", "words"),
    [
        (redirect, "the server answered 302. It redirects: give the URL that it leads to"),
        (huge, "it is larger than 1 MiB"),
        (no_http, "BadStatusLine"),
        (always_unchanged, "the server answered 304"),
    ],
)
def test_odd_servers(special: Any, words: str, files: Files, folder: Path) -> None:
    files.special["/odd"] = special
    assert words in error_of(WebSource(f"{files.url}/odd", web(folder)))


def test_an_answer_that_is_cut_off(files: Files, folder: Path) -> None:
    files.special["/cut"] = cut
    assert "/cut: the answer was cut off" in error_of(WebSource(f"{files.url}/cut", web(folder)))


def test_nobody_there(files: Files, folder: Path) -> None:
    url = files.put("/x", "x")
    assert "answered 404" in error_of(WebSource(f"{files.url}/y", web(folder)))
    assert "Connection refused" in error_of(WebSource(url.replace(files.url, "https://localhost:1"), web(folder)))


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "www.pem"
    path.write_text("one")
    source = FileSource(str(path))
    first = source.read()
    assert first.data == b"one" and source.changed(first.tag) is None and repr(first) == repr(first).replace("one", "")
    path.write_text("two")
    assert source.changed(first.tag) is not None
    path.unlink()
    with pytest.raises(StoreError, match=r"cannot read .*www.pem on the controller: No such file"):
        source.read()
    path.write_bytes(b"x" * (LONGEST_FILE + 1))
    with pytest.raises(StoreError, match="larger than 1 MiB"):
        source.read()


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("/srv/{certificate}/{host}.pem", "/srv/www/web1.pem"),
        ("https://a.example/{host}/{certificate}.pem?v={x}", "https://a.example/web1/www.pem"),
        ("HTTPS://A.example:8443/x", "https://a.example:8443/x"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
    ],
)
def test_parse_source(value: str, place: str) -> None:
    assert parse_source(value, "certificate", Web(), {"host": "web1", "certificate": "www"}).describe() == place


def test_a_host_name_cannot_lead_elsewhere() -> None:
    names = {"host": "../../etc", "certificate": "www"}
    with pytest.raises(SpecError, match="cannot be part of a path"):
        parse_source("/srv/{host}.pem", "certificate", Web(), names)
    assert parse_source("https://a/{host}", "certificate", Web(), names).describe() == "https://a/..%2F..%2Fetc"


@pytest.mark.parametrize("value", ["http://a.example/x", "srv/x.pem", "", None, "ftp://a/x"])
def test_no_source(value: Any) -> None:
    with pytest.raises(SpecError, match="certificate: it is neither an https URL nor an absolute path"):
        parse_source(value, "certificate", Web(), {"host": "web1", "certificate": "www"})
