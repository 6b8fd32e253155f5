# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Session ticket keys on two nodes each of nginx and HAProxy: steps that no client notices, and bad luck in the middle of them."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.plugins.sub_plugins.store.directory import DirectoryStore
from fleet.fleet import Fleet, Host
from fleet.ticket_pool import LINK, PASSPHRASE, PORTS, ROTATE, VERSIONS, Pool, clients, connect, make_context, set_up
from local.family import Family

TASK = "fleet.tls.session_ticket_keys"
LIFETIME = 10
# Of four servers and versions in about a minute; far below what even a busy machine manages.
LEAST_RESUMPTIONS = 40


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with Fleet("rings", hosts=(Host("edge1", "bookworm"), Host("edge2", "bookworm"))) as fleet:
        yield set_up(fleet, tmp_path_factory.mktemp("rings"))


def keys_of(pool: Pool) -> tuple[bytes, ...]:
    """The ring itself, out of the store."""
    rings = RingStore(DirectoryStore({"path": str(pool.folder / "store"), "passphrase": PASSPHRASE}), "edge")
    known = rings.known()
    assert known is not None
    return rings.ring(known).keys


def test_proven_once_the_servers_use_it_and_then_left_alone(pool: Pool) -> None:
    first = pool.run("role").check()
    assert {each["proven"] for each in first.results(action=TASK)} == {True}
    assert pool.all_show()
    # Nothing due: no passphrase, one round trip, and HAProxy's socket is not even there to be asked.
    for host in pool.hosts:
        pool.fleet.exec(host, ["mv", "/run/haproxy/admin.sock", "/run/haproxy/away"])
    inode = pool.entry.stat().st_ino
    second = pool.run("role", "-vvv", tls_store={"path": str(pool.folder / "store")}).check()
    for host in pool.hosts:
        pool.fleet.exec(host, ["mv", "/run/haproxy/away", "/run/haproxy/admin.sock"])
        assert second.stdout.count(f"<{pool.fleet.addresses[host]}> ESTABLISH SSH CONNECTION FOR USER") == 1
    assert (second.changed, pool.entry.stat().st_ino) == (0, inode)
    assert not [each for each in second.results(action=TASK) if each.get("warnings")]
    for host in pool.hosts:
        listing = pool.fleet.exec(host, ["find", f"{LINK}/", "/run/fleet-tls", "-printf", "%y%m %u %f\\n"]).stdout
        assert {line for line in listing.splitlines() if line.startswith("f")} == {
            f"f600 root {name}" for name in ("cur.key", "next.key", "prev.key", "haproxy.keys")
        }


def test_three_steps_and_no_client_loses_a_session(pool: Pool) -> None:
    old = {version: make_context(version) for version in VERSIONS}
    address = pool.fleet.addresses["edge1"]
    with clients(pool, LIFETIME) as seen:
        for _step in range(3):
            begin = pool.record["generation"]
            sessions = {
                (server, each): connect(old[each], address, port)[1]
                for server, port in PORTS.items()
                for each in VERSIONS
            }
            pool.rotate(tls_session_timeout=f"{LIFETIME}s").check()
            assert pool.generations() == [begin + 1] * 3
            assert all(
                connect(old[each], pool.fleet.addresses["edge2"], PORTS[server], sessions[server, each])[0]
                for server, each in sessions
            )
        # On a busy machine three steps are soon done, and clients slow.
        seen.wait_for(LEAST_RESUMPTIONS)
    print(f"resumed {dict(seen.resumed)} of {dict(seen.tried)}")
    assert seen.failed == []
    assert seen.resumed == seen.tried
    assert len(seen.tried) == 4 and min(seen.tried.values()) > LEAST_RESUMPTIONS
    assert pool.all_show()
    # The last of the sessions has seen one step: it outlives no second one.
    pool.rotate().check()
    assert pool.all_show()
    assert not any(connect(old[each], address, PORTS[server], sessions[server, each])[0] for server, each in sessions)


def test_too_soon_is_refused_with_the_numbers(pool: Pool) -> None:
    before = pool.entry.read_bytes()
    result = pool.run(ROTATE, tls_session_timeout="24h")
    assert result.rc == 2
    assert "and sessions live 86400 s (1d): those from before it would be lost" in result.stdout
    assert pool.entry.read_bytes() == before


def test_check_mode_says_what_would_happen(pool: Pool) -> None:
    before, generations = pool.entry.read_bytes(), pool.generations()
    pool.wait_for_interval(1)
    result = pool.run(ROTATE, "--check", "--diff").check()
    generation = generations[0]
    assert f"generation {generation} gives way to {generation + 1}" in result.stdout
    assert f"-generation {generation}" in result.stdout and f"+generation {generation + 1}" in result.stdout
    assert (pool.entry.read_bytes(), pool.generations()) == (before, generations)


def test_killed_in_the_middle_of_a_step(pool: Pool) -> None:
    """edge2 cannot begin, because something else works on it, when the controller is killed. The next run finishes the step."""
    generation = pool.record["generation"]
    pool.wait_for_interval(1)
    pool.fleet.exec(
        "edge2", ["sh", "-c", "flock /etc/fleet-tls/.lock sleep 900 >/dev/null 2>&1 & echo $! > /run/holder"]
    )
    run = Family(*pool.command(ROTATE))
    try:
        end = time.monotonic() + 900
        while not pool.manifest("edge1")["settled"] or pool.manifest("edge1")["generation"] == generation:
            assert time.monotonic() < end and run.process.poll() is None
            time.sleep(0.1)
    finally:
        run.kill()
        pool.fleet.exec("edge2", ["sh", "-c", "pkill -P $(cat /run/holder); kill $(cat /run/holder); true"])
    assert pool.record["generation"] == generation + 1
    assert pool.record["proven"]["edge2"][0] == generation
    keys = keys_of(pool)
    # One step apart, each takes the other's tickets.
    context = make_context(ssl.TLSVersion.TLSv1_2)
    for one, other in (("edge1", "edge2"), ("edge2", "edge1")):
        session = connect(context, pool.fleet.addresses[one], 443)[1]
        assert connect(context, pool.fleet.addresses[other], 443, session)[0]
    result = pool.rotate().check()
    # edge1 may have shown it and not have come to be noted.
    assert re.search(f"the step to generation {generation + 1} is finished first on (edge1, )?edge2", result.stdout), (
        result.stdout
    )
    assert pool.generations() == [generation + 1] * 3
    assert keys_of(pool) == keys and pool.all_show()


def test_a_node_that_is_down_holds_the_step_back_and_can_be_left_behind(pool: Pool) -> None:
    generation = pool.record["generation"]
    down = {"edge2": {"ansible_host": "127.0.0.1", "ansible_port": 1}}
    held = pool.rotate(changes=down)
    assert held.rc != 0 and "edge2 could not be looked at" in held.stdout
    assert pool.generations() == [generation] * 3

    pool.rotate("-e", '{"tls_leave_behind": ["edge2"]}', changes=down).check()
    assert pool.generations() == [generation + 1, generation + 1, generation]
    assert list(pool.record["left_behind"]) == ["edge2"]
    # Whoever deploys meanwhile is reminded.
    reminded = pool.run("role", "--limit", "edge1").check()
    assert "left behind, until fleet.tls.deploy has been there: edge2" in str(
        reminded.results(host="edge1", action=TASK)
    )

    back = pool.rotate().check()
    assert f"the step to generation {generation + 1} is finished first on edge2" in back.stdout
    assert pool.generations() == [generation + 1] * 3 and pool.record["left_behind"] == {}


def test_a_host_of_the_pool_that_is_not_in_the_run(pool: Pool) -> None:
    pool.wait_for_interval(1)
    result = pool.run(ROTATE, "--limit", "edge1")
    assert result.rc != 0 and "edge2 has the pool's ring and is not in this run" in result.stdout


def test_a_stranger_cannot_be_left_behind(pool: Pool) -> None:
    result = pool.run(ROTATE, "-e", '{"tls_leave_behind": ["edge3"]}')
    assert result.rc != 0 and "no host of the pool is called 'edge3'" in result.stdout


def test_memory_that_is_full_on_one_node(pool: Pool) -> None:
    generation, fleet = pool.record["generation"], pool.fleet
    fleet.exec("edge1", ["sh", "-c", "cat /dev/zero > /run/fleet-tls/filler; true"], check=False)
    try:
        failed = pool.rotate()
        assert failed.rc != 0 and failed.stats["edge1"]["failures"], failed.stdout
        (told,) = [
            each["result"] for each in failed.task_results if (each["host"], each["status"]) == ("edge1", "failed")
        ]
        assert "no space left on the host" in told["msg"] and "run again" in told["msg"]
        assert pool.generations() == [generation + 1, generation, generation + 1]
        context = make_context(ssl.TLSVersion.TLSv1_3)
        for server, port in PORTS.items():
            session = connect(context, fleet.addresses["edge2"], port)[1]
            assert connect(context, fleet.addresses["edge1"], port, session)[0], server
    finally:
        fleet.exec("edge1", ["rm", "/run/fleet-tls/filler"])
    pool.rotate().check()
    assert pool.generations() == [generation + 1] * 3 and pool.all_show()


def test_a_socket_that_is_gone_makes_it_a_reload(pool: Pool) -> None:
    generation = pool.record["generation"]
    pool.fleet.exec("edge1", ["rm", "/run/haproxy/admin.sock"])
    result = pool.rotate().check()
    told = {host: [each for each in result.results(host=host, action=TASK) if "servers" in each] for host in pool.hosts}
    assert told["edge1"][0]["servers"] == {"nginx": "reloaded", "haproxy": "reloaded"}
    assert "HAProxy's socket /run/haproxy/admin.sock: No such file or directory; so it was reloaded" in str(
        told["edge1"][0]["warnings"]
    )
    assert told["edge2"][0]["servers"] == {"nginx": "reloaded", "haproxy": "set"}
    assert pool.generations() == [generation + 1] * 3 and pool.all_show()


def test_two_runs_at_once_are_one_step(pool: Pool) -> None:
    generation = pool.record["generation"]
    pool.wait_for_interval(1)
    runs = [pool.start(ROTATE) for _number in range(2)]
    said = [run.communicate(timeout=1200)[0] for run in runs]
    pool.outputs += said
    assert pool.generations() == [generation + 1] * 3 or pool.generations() == [generation + 2] * 3, said
    words = ("gives way to", "another run has brought", "is finished first", "s ago, and sessions live")
    assert all(any(word in text for word in words) for text in said), said
    assert pool.all_show()


def test_a_boot_comes_up_with_a_throw_away_ring_and_the_next_run_repairs_it(pool: Pool) -> None:
    fleet, generation = pool.fleet, pool.record["generation"]
    fleet.exec("edge2", ["systemctl", "stop", "nginx", "haproxy"])
    fleet.exec("edge2", ["rm", "-rf", "/run/fleet-tls"])
    fleet.exec("edge2", ["systemctl", "start", "nginx", "haproxy"])
    real = {key[:16].hex() for key in keys_of(pool)}
    names = pool.key_names("edge2")
    assert not set(names.values()) & real and len(set(names.values())) == 1
    # Both servers have the same throw-away ring, in modes like the real one.
    assert fleet.exec("edge2", ["stat", "-c", "%a %U", f"{LINK}/cur.key"]).stdout == "600 root\n"

    repaired = pool.run("role").check()
    assert [host for host in pool.hosts if repaired.stats[host]["changed"]] == ["edge2"]
    assert pool.generations() == [generation] * 3 and pool.all_show()
    assert pool.run("role").check().changed == 0


def test_yesterdays_store_is_not_rolled_out(pool: Pool) -> None:
    copy = pool.folder / "yesterday"
    shutil.copytree(pool.folder / "store", copy)
    pool.rotate().check()
    generations, names = pool.generations(), pool.key_names("edge1")
    today = pool.folder / "today"
    shutil.move(pool.folder / "store", today)
    shutil.copytree(copy, pool.folder / "store")
    try:
        for playbook in ("role", ROTATE):
            result = pool.run(playbook)
            assert result.rc != 0
            assert (
                f"edge1 has generation {generations[0]} of the ring, the store knows no newer than {generations[0] - 1}"
                in result.stdout
            )
        assert pool.generations()[1:] == generations[1:] and pool.key_names("edge1") == names
        # A store without any ring is another one.
        (pool.folder / "store" / "tickets" / "edge.json").unlink()
        lost = pool.run("role")
        assert lost.rc != 0 and "and the store has none" in lost.stdout
    finally:
        shutil.rmtree(pool.folder / "store")
        shutil.move(today, pool.folder / "store")
    assert pool.run("role").check().changed == 0


def test_all_keys_at_once_end_every_session(pool: Pool) -> None:
    generation = pool.record["generation"]
    contexts = {version: make_context(version) for version in VERSIONS}
    address = pool.fleet.addresses["edge1"]
    sessions = {
        (server, each): connect(contexts[each], address, port)[1] for server, port in PORTS.items() for each in VERSIONS
    }
    before = set(keys_of(pool))
    pool.run(ROTATE, "-e", "tls_replace_ring=true").check()
    assert not before & set(keys_of(pool)) and pool.generations() == [generation + 1] * 3
    assert pool.all_show()
    assert not any(
        connect(contexts[each], address, PORTS[server], sessions[server, each])[0] for server, each in sessions
    )


def test_apache_is_refused_and_told_why(pool: Pool) -> None:
    result = pool.run("role", tls_session_ticket_servers=["apache"])
    assert result.rc != 0
    assert "Apache does not use the HMAC half of its SSLSessionTicketKeyFile with OpenSSL 3" in result.stdout
    assert "tls_session_cache: redis:HOST:PORT" in result.stdout


def test_no_key_in_any_output(pool: Pool) -> None:
    """Every key there was in a step, in every form that it has on its way, in everything that was said and every command line."""
    lines, over = set[bytes](), threading.Event()

    def watch() -> None:
        # The hosts are containers: their processes are to be seen here as well.
        while not over.wait(0.01):
            for each in os.listdir("/proc"):
                if each.isdecimal():
                    with contextlib.suppress(OSError):
                        lines.add(Path("/proc", each, "cmdline").read_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    keys = set(keys_of(pool))
    try:
        for pipelining in ("True", "False"):
            pool.rotate("-vvvvv", "--diff", env={"ANSIBLE_PIPELINING": pipelining}).check()
            keys |= set(keys_of(pool))
        pool.fleet.exec("edge1", ["sh", "-c", "echo nonsense\\; > /etc/nginx/conf.d/broken.conf"])
        failed = pool.rotate("-vvvvv", "--diff")
        keys |= set(keys_of(pool))
    finally:
        over.set()
        watcher.join(30)
        pool.fleet.exec("edge1", ["rm", "-f", "/etc/nginx/conf.d/broken.conf"])
    assert (
        failed.rc != 0 and "unknown directive" in failed.stdout and "the keys are as they were before" in failed.stdout
    )
    pool.rotate().check()
    text = "\n".join(pool.outputs).encode() + b"\n".join(lines)
    assert b"rotate_session_tickets" in b"\n".join(lines)
    # Names are no secret, and are there.
    assert any(key[:16].hex().encode() in text for key in keys)
    assert found(text, keys) == []
    assert PASSPHRASE.encode() not in text


def found(text: bytes, keys: set[bytes]) -> list[str]:
    """Which secret halves are in a text, as hex, base64 or bytes, wherever a base64 block may begin."""
    hits = []
    for key in keys:
        for half in (key[16:48], key[48:]):
            forms = {half, half.hex().encode(), *(base64.b64encode(half[skip:])[:32] for skip in range(3))}
            hits += [key[:16].hex() for form in forms if form in text]
    return hits


def test_apaches_share_their_sessions_through_redis(pool: Pool) -> None:
    """What Apache has instead: its nodes resume each other's sessions, also after a reload, and whatever their certificates."""
    fleet = pool.fleet
    redis = fleet.addresses["edge1"]
    for host in pool.hosts:
        fleet.exec(host, ["systemctl", "stop", "nginx", "haproxy"])
    fleet.exec("edge1", f"redis-server --bind {redis} --protected-mode no --daemonize yes".split())
    more = {
        "tls_session_tickets": False,
        "tls_web_server": "apache",
        "tls_session_cache": f"redis:{redis}:6379",
        "tls_session_timeout": "10m",
        "tls_issuers": {"internal": {"type": "ca"}},
        "tls_certificates": [{"name": "site", "issuer": "internal", "dns_names": ["pool.test"]}],
        "tls_sites": [
            {
                "name": "pool",
                "server_names": ["pool.test"],
                "certificate": "site",
                "listen": [9443],
                "root": "/var/www/html",
            }
        ],
        "tls_trust_system": False,
    }
    pool.run("fleet.tls.deploy", **more).check()
    assert pool.run("fleet.tls.deploy", **more).check().changed == 0
    sessions = {}
    for version in VERSIONS:
        sessions[version] = (context := make_context(version)), connect(context, redis, 9443)[1]
        assert connect(context, fleet.addresses["edge2"], 9443, sessions[version][1])[0], version
    fleet.exec("edge2", ["systemctl", "reload", "apache2"])
    for version, (context, session) in sessions.items():
        assert connect(context, fleet.addresses["edge2"], 9443, session)[0], version
    # Without Redis, clients shake hands anew.
    fleet.exec("edge1", ["redis-cli", "-h", redis, "shutdown", "nosave"])
    for context, session in sessions.values():
        assert not connect(context, fleet.addresses["edge2"], 9443, session)[0]
