# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step configure against a real nginx."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.steps.configure import configure_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import served_leaf
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem, make_crl, make_entry
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_root
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair
from tools.ports import free_port

NAME = "www.example.com"


@dataclass
class World:
    """A host with a certificate ``www``, and an nginx that can serve it."""

    nginx: NginxService
    directory: Path
    pair: Pair
    other: Pair
    port: int

    @property
    def site(self) -> Path:
        return self.nginx.conf / "site.conf"

    @property
    def kept(self) -> Path:
        """Where what somebody had at the site's path is kept."""
        return self.nginx.conf / ".site.conf.before-fleet-tls"

    def server(self, pair: Pair | None = None, extra: str = "") -> str:
        pair = pair or self.pair
        return (
            f"server {{ listen 127.0.0.1:{self.port} ssl; server_name {NAME};\n"
            f"ssl_certificate {pair.chain}; ssl_certificate_key {pair.key}; {extra} }}\n"
        )

    def run(self, content: str | None, *, endpoint: bool = True, **changes: Any) -> tuple[bool, dict[str, Any]]:
        path = str(self.site)
        endpoints = [
            {"host": "127.0.0.1", "port": self.port, "server_name": NAME, "certificate": "www", "explicit": True}
        ]
        request = {
            "directory": str(self.directory),
            "files": [{"path": path, "state": "absent"} if content is None else {"path": path, "content": content}],
            "services": [{**self.nginx.described(), "preset": None, "endpoints": endpoints if endpoint else []}],
            "started": False,
            "missing": "fail",
            "prove_timeout": 3,
            "check": False,
        }
        return configure_step({**request, **changes})

    def serves(self, pair: Pair) -> bool:
        """Whether it comes to; for a moment after a reload the old worker may still answer."""
        for _try in range(50):
            if served_leaf("127.0.0.1", self.port, NAME, 3) == pair.der:
                return True
            time.sleep(0.02)
        return False


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(tmp_path: Path, authority: Authority) -> Iterator[World]:
    pair, other = authority.issue("www", f"DNS:{NAME}"), authority.issue("other", "DNS:other.example.com")
    live = tmp_path / "fleet-tls" / "live" / "www"
    live.mkdir(parents=True)
    (live / "cert.pem").write_text(pair.pem)
    with NginxService(tmp_path / "nginx") as nginx:
        yield World(nginx, tmp_path / "fleet-tls", pair, other, free_port())


@pytest.fixture
def running(world: World) -> World:
    """The same with nginx running; its site serves another certificate on the same port."""
    world.site.write_text(world.server(world.other))
    world.nginx.start()
    return world


def test_files_are_checked_reloaded_once_and_proven(running: World) -> None:
    changed, answer = running.run(running.server())
    assert changed and not answer["error"]
    assert answer["changed_paths"] == [str(running.site)]
    assert answer["services"] == {"own-nginx": {"state": "reloaded", "error": None}}
    assert answer["validated"] is True
    assert answer["proof"][0]["fingerprint"] == hashlib.sha256(running.pair.der).hexdigest()
    assert running.nginx.calls() == ["validate", "reload"]
    assert running.serves(running.pair)


def test_the_second_run_calls_nothing(running: World) -> None:
    running.run(running.server())
    running.nginx.calls()
    before = os.stat(running.site)
    changed, answer = running.run(running.server())
    assert not changed and answer["changed_paths"] == [] and answer["diff"] == []
    assert answer["validated"] is True
    assert running.nginx.calls() == []
    assert os.stat(running.site) == before


def test_a_refused_configuration_is_put_back(running: World) -> None:
    before = running.site.read_text()
    changed, answer = running.run(running.server(extra="no_such_directive on;"))
    assert not changed and answer["rolled_back"]
    assert answer["error"]["code"] == "validate_failed"
    assert 'unknown directive "no_such_directive"' in answer["error"]["message"]
    assert "all files are as they were before" in answer["error"]["message"]
    assert "failing already" not in answer["error"]["message"]
    assert running.site.read_text() == before
    assert running.serves(running.other)
    assert [path.name for path in running.nginx.conf.iterdir()] == ["site.conf"]


def test_a_configuration_that_was_broken_before_is_called_so(running: World) -> None:
    (running.nginx.conf / "theirs.conf").write_text("their_mistake on;\n")
    _changed, answer = running.run(running.server())
    assert answer["rolled_back"]
    assert 'unknown directive "their_mistake"' in answer["error"]["message"]
    assert "it was failing already before this change" in answer["error"]["message"]
    assert running.site.read_text() == running.server(running.other)


def test_an_endpoint_that_does_not_come_to_serve_puts_everything_back(running: World) -> None:
    _changed, answer = running.run(running.server(running.other, extra="# still the other\n"), prove_timeout=0.5)
    assert answer["error"]["code"] == "not_served" and answer["rolled_back"]
    assert running.site.read_text() == running.server(running.other)


def test_a_run_that_was_killed_before_the_reload_is_made_good(running: World) -> None:
    """Without an endpoint, so that nothing but the record can know."""
    running.run(running.server(), endpoint=False)
    (running.directory / "services" / "own-nginx.json").unlink()
    running.nginx.calls()
    changed, answer = running.run(running.server(), endpoint=False)
    assert changed and answer["changed_paths"] == []
    assert running.nginx.calls() == ["validate", "reload"]
    assert running.run(running.server(), endpoint=False)[0] is False


def test_what_is_served_counts_not_what_is_recorded(running: World) -> None:
    running.run(running.server())
    running.nginx.stop()
    running.site.write_text(running.server(running.other))
    running.nginx.start()
    running.site.write_text(running.server())
    changed, answer = running.run(running.server())
    assert changed and not answer["error"] and running.serves(running.pair)


def test_a_site_that_is_absent_is_gone(running: World) -> None:
    (running.nginx.conf / "theirs.conf").write_text(f"server {{ listen 127.0.0.1:{free_port()}; }}\n")
    running.run(running.server())
    changed, answer = running.run(None, endpoint=False)
    assert changed and not running.site.exists()
    assert answer["diff"][0]["after"] == ""
    assert running.run(None, endpoint=False)[0] is False


def test_a_stopped_service_is_started_where_asked(world: World) -> None:
    changed, answer = world.run(world.server(), started=True)
    assert changed and not answer["error"]
    assert answer["services"]["own-nginx"]["state"] == "started"
    assert world.nginx.calls() == ["validate", "start"]
    assert world.serves(world.pair)
    assert world.run(world.server(), started=True)[0] is False


def test_a_stopped_service_is_left_alone_otherwise_but_checks_its_files(world: World) -> None:
    changed, answer = world.run(world.server(), endpoint=False)
    assert changed and answer["services"]["own-nginx"]["state"] == "not_running"
    assert world.nginx.calls() == ["validate"]
    assert world.nginx.pid() is None
    assert world.run(world.server(), endpoint=False)[0] is False
    _changed, answer = world.run(world.server(extra="nonsense;"), endpoint=False)
    assert answer["rolled_back"] and world.site.read_text() == world.server()


def test_a_service_that_fell_over_is_started_again_though_no_file_changed(world: World) -> None:
    world.run(world.server(), started=True)
    world.nginx.stop()
    changed, answer = world.run(world.server(), started=True)
    assert changed and answer["services"]["own-nginx"]["state"] == "started" and world.nginx.pid()


def test_check_mode_tells_and_touches_nothing(running: World) -> None:
    changed, answer = running.run(running.server(), check=True)
    assert changed and answer["changed_paths"] == [str(running.site)]
    assert answer["diff"] == [
        {
            "before_header": f"{running.site} (not of fleet.tls, kept as {running.kept})",
            "after_header": str(running.site),
            "before": running.server(running.other),
            "after": running.server(),
        }
    ]
    assert answer["kept_files"] == {str(running.site): str(running.kept)} and not running.kept.exists()
    assert answer["validated"] is False
    assert running.site.read_text() == running.server(running.other)
    assert running.nginx.calls() == []
    assert not (running.directory / ".lock").exists()


def test_somebodys_site_is_kept_once_and_nginx_does_not_read_it(running: World) -> None:
    before = running.site.stat()
    _changed, answer = running.run(running.server())
    assert not answer["error"] and answer["kept_files"] == {str(running.site): str(running.kept)}
    assert running.kept.stat().st_ino == before.st_ino and running.serves(running.pair)
    changed, answer = running.run(running.server(extra="ssl_session_tickets off;"))
    assert changed and answer["kept_files"] == {}
    assert running.kept.read_text() == running.server(running.other)
    assert running.run(running.server(extra="ssl_session_tickets off;"))[0] is False
    # It is ours now: taken away, it is away, and what was there first is kept still.
    running.run(None, endpoint=False)
    assert not running.site.exists() and running.kept.exists()


def test_somebodys_site_that_comes_back_is_kept_nowhere(running: World) -> None:
    _changed, answer = running.run(running.server(extra="nonsense;"))
    assert answer["rolled_back"] and answer["kept_files"] == {} and not running.kept.exists()
    assert running.site.read_text() == running.server(running.other) and running.site.stat().st_nlink == 1


def test_a_block_in_somebodys_file_keeps_no_copy_of_it(running: World) -> None:
    theirs = running.nginx.conf / "theirs.conf"
    theirs.write_text("# theirs\n")
    files = [{"path": str(theirs), "content": "# ours\n", "block": True}]
    _changed, answer = running.run(None, files=files, endpoint=False)
    assert not answer["error"] and answer["kept_files"] == {} and theirs.read_text().startswith("# theirs\n")
    assert [each.name for each in running.nginx.conf.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_diff_does_not_show_somebodys_private_key(running: World, form: str) -> None:
    command = ["openssl", "pkey", "-in", running.pair.key, "-outform", form]
    key = subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
    running.site.write_bytes(key)
    _changed, answer = running.run(running.server(), check=True)
    digest = hashlib.sha256(key).hexdigest()
    assert answer["diff"][0]["before"] == f"(binary, or with a private key, SHA-256 {digest})\n"


def test_check_mode_before_the_certificate_is_there(running: World) -> None:
    (running.directory / "live" / "www" / "cert.pem").unlink()
    changed, answer = running.run(running.server(), check=True)
    assert changed and answer["proof"] == []
    with pytest.raises(StepError, match="the certificate 'www' is not on this host"):
        running.run(running.server())
    assert running.site.read_text() == running.server(running.other)


@pytest.mark.parametrize("check", [True, False])
def test_a_certificate_that_nobody_makes_is_refused_in_check_mode_too(running: World, check: bool) -> None:
    assert running.run(running.server(), check=True, made=[])[1]["error"] is None
    (running.directory / "live" / "www" / "cert.pem").unlink()
    assert running.run(running.server(), check=True, made=["www"])[0]
    before = running.site.read_text()
    with pytest.raises(StepError, match="the certificate 'www' is not on this host"):
        running.run(running.server(), check=check, made=["other"])
    # Before the server is installed, too.
    gone = {"name": "gone", "preset": None, "validate": ["/nonexistent/gone", "-t"], "endpoints": []}
    endpoint = {"host": "127.0.0.1", "port": 1, "server_name": NAME, "certificate": "www", "explicit": True}
    with pytest.raises(StepError, match="the certificate 'www' is not on this host"):
        running.run("x", services=[{**gone, "endpoints": [endpoint]}], missing="report", check=check, made=[])
    with pytest.raises(StepError, match="the certificate 'www' is not on this host"):
        files = [{"path": str(running.site) + ".pem", "pair": "www", "form": "combined"}]
        running.run(None, files=files, endpoint=False, check=check, made=[])
    assert running.site.read_text() == before


def test_a_missing_program_is_reported_or_refused(world: World) -> None:
    service = {"name": "gone", "preset": None, "validate": ["/nonexistent/gone", "-t"], "endpoints": []}
    with pytest.raises(StepError, match="service 'gone': there is no program '/nonexistent/gone'"):
        world.run("x", services=[service])
    changed, answer = world.run("x", services=[service], missing="report")
    assert (changed, answer["missing"], answer["changed_paths"]) == (False, True, [])
    changed, answer = world.run("x", services=[service], missing="report", check=True)
    assert (changed, answer["missing"], answer["changed_paths"]) == (True, True, [str(world.site)])
    assert not world.site.exists()


def test_a_service_that_cannot_be_started_is_refused_before_anything_is_written(world: World) -> None:
    service = {**world.nginx.described(), "preset": None, "start": None, "endpoints": []}
    with pytest.raises(StepError, match="nobody said how it is started"):
        world.run(world.server(), services=[service], started=True)
    assert not world.site.exists()


@pytest.mark.parametrize("check", [True, False])
def test_a_service_that_nobody_can_reload_is_refused_before_anything_is_written(running: World, check: bool) -> None:
    service = {**running.nginx.described(), "preset": None, "reload": None, "endpoints": []}
    before = running.site.read_text()
    with pytest.raises(StepError, match="nobody says how it is reloaded") as caught:
        running.run(running.server(running.other), services=[service], check=check)
    assert caught.value.code == "cannot_reload" and running.site.read_text() == before


def test_several_files_are_one_batch(running: World) -> None:
    snippet, link = running.nginx.folder / "snippets" / "tls.conf", running.nginx.folder / "link"
    server = running.server(extra=f"include {snippet};")
    files = [
        {"path": str(snippet), "content": "ssl_session_tickets off;\n", "mode": "0640"},
        {"path": str(link), "link": str(snippet)},
        {"path": str(running.site), "content": server},
    ]
    changed, answer = running.run("", files=files)
    assert changed and not answer["error"], answer
    assert running.nginx.calls() == ["validate", "reload"]
    assert oct(snippet.stat().st_mode & 0o777) == "0o640" and os.readlink(link) == str(snippet)
    files[0]["content"] = "broken\n"
    files[1]["link"] = "elsewhere"
    _changed, answer = running.run("", files=files)
    assert answer["rolled_back"]
    assert snippet.read_text() == "ssl_session_tickets off;\n" and os.readlink(link) == str(snippet)


def test_a_mode_that_drifted_is_put_right(running: World) -> None:
    running.run(running.server())
    running.site.chmod(0o666)
    changed, answer = running.run(running.server())
    assert changed and "mode 0666, wanted 0644" in answer["diff"][0]["before"]
    assert running.site.stat().st_mode & 0o777 == 0o644


def test_the_records_of_two_tasks_of_one_service_get_along(running: World) -> None:
    other = running.nginx.conf / "other.conf"
    first = [{"path": str(other), "content": "# other\n"}]
    running.run(running.server())
    running.run("", files=first)
    assert running.run(running.server())[0] is False
    assert running.run("", files=first)[0] is False
    assert set(json.loads((running.directory / "services" / "own-nginx.json").read_text())) == {
        str(running.site),
        str(other),
    }


def test_a_block_in_somebody_elses_file(running: World) -> None:
    """All the rest of the file stays, and so do its mode and the link that leads to it; the diff shows the block alone."""
    theirs = running.nginx.conf / "theirs.conf"
    theirs.write_text("# secret of theirs\n" + running.server(running.other))
    theirs.chmod(0o640)
    running.site.unlink()
    running.site.symlink_to(theirs)
    before = theirs.read_bytes()
    block = f"server {{ listen 127.0.0.1:{free_port()}; }}\n"
    wanted = {"path": str(running.site), "content": block, "block": True}

    changed, answer = running.run(None, endpoint=False, files=[wanted])
    assert changed and answer["changed_paths"] == [str(theirs)]
    assert answer["diff"] == [{"before_header": str(theirs), "after_header": str(theirs), "before": "", "after": block}]
    assert theirs.read_bytes().startswith(before) and block.encode() in theirs.read_bytes()
    assert running.site.is_symlink() and theirs.stat().st_mode & 0o777 == 0o640
    assert running.run(None, endpoint=False, files=[wanted])[0] is False

    _changed, answer = running.run(None, endpoint=False, files=[{**wanted, "content": "their_mistake on;\n"}])
    assert answer["rolled_back"] and block.encode() in theirs.read_bytes()

    changed, answer = running.run(
        None, endpoint=False, files=[{"path": str(running.site), "state": "absent", "block": True}]
    )
    assert changed and answer["diff"][0]["before"] == block and answer["diff"][0]["after"] == ""
    assert theirs.read_bytes() == before


def test_a_revocation_list_that_knows_more_is_not_given_up_unseen(world: World, tmp_path: Path) -> None:
    ca = make_root("CA", "ecdsa-p256", NOW, 7 * DAY)

    def pem(*serials: int) -> str:
        entries = [make_entry(serial, 1, "superseded") for serial in serials]
        return crl_to_pem(make_crl(ca, entries, number=1, now=NOW, lifetime=DAY))

    path = tmp_path / "clients.crl.pem"
    more, less = pem(1, 2), pem(1)

    def install(content: str, *over: str, check: bool = False) -> tuple[bool, dict[str, Any]]:
        files = [{"path": str(path), "content": content, "over": list(over)}]
        return world.run(None, endpoint=False, files=files, check=check)

    assert install(less)[1]["held"] == [] and install(more)[1]["held"] == []
    for check in (True, False):
        changed, answer = install(less, check=check)
        assert not changed and path.read_text() == more
        (held,) = answer["held"]
        assert held == {"path": str(path), "content": more, "digest": hashlib.sha256(more.encode()).hexdigest()}
    changed, answer = install(less, held["digest"])
    assert changed and answer["held"] == [] and path.read_text() == less


@pytest.fixture
def with_rsa(running: World, authority: Authority) -> Pair:
    """A second certificate on the host, for the same name, with a key of another kind."""
    pair = authority.issue("rsa", f"DNS:{NAME}", rsa=2048)
    live = running.directory / "live" / "www-rsa"
    live.mkdir(parents=True)
    (live / "cert.pem").write_text(pair.pem)
    return pair


def both(world: World, *certificates: str) -> dict[str, Any]:
    """Services that serve several certificates at one place."""
    place = {"host": "127.0.0.1", "port": world.port, "server_name": NAME, "explicit": True}
    endpoints = [{**place, "certificate": name} for name in certificates]
    return {"services": [{**world.nginx.described(), "preset": None, "endpoints": endpoints}]}


def directives(pair: Pair) -> str:
    return f"ssl_certificate {pair.chain}; ssl_certificate_key {pair.key};"


@pytest.mark.parametrize("protocols", ["TLSv1.2", "TLSv1.3", "TLSv1.2 TLSv1.3"])
def test_each_of_two_certificates_is_proven_by_a_client_of_its_kind(
    running: World, with_rsa: Pair, protocols: str
) -> None:
    content = running.server(extra=f"{directives(with_rsa)} ssl_protocols {protocols};")
    changed, answer = running.run(content, **both(running, "www", "www-rsa"))
    assert changed and not answer["error"]
    expected = [hashlib.sha256(each.der).hexdigest() for each in (running.pair, with_rsa)]
    assert [each["fingerprint"] for each in answer["proof"]] == expected
    running.nginx.calls()
    assert running.run(content, **both(running, "www", "www-rsa"))[0] is False
    assert running.nginx.calls() == []


def test_a_second_certificate_that_is_not_served_is_an_error(running: World, with_rsa: Pair) -> None:
    _changed, answer = running.run(running.server(), **both(running, "www", "www-rsa"))
    assert answer["error"]["code"] == "not_served" and answer["rolled_back"]
    assert running.serves(running.other)


def test_two_certificates_of_one_kind_are_refused(running: World, with_rsa: Pair) -> None:
    (running.directory / "live" / "www-rsa" / "cert.pem").write_text(running.other.pem)
    before = running.site.read_text()
    with pytest.raises(StepError) as found:
        running.run(running.server(), **both(running, "www", "www-rsa"))
    assert found.value.code == "same_key_type"
    assert "'www' and 'www-rsa', which both have keys of the kind ecdsa" in found.value.message
    assert running.site.read_text() == before and running.nginx.calls() == []
