# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the store in OpenBao has: leases, lost answers, rights, and a server that is not as it was."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreBusy, StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao import connection as openbao
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao import lock as openbao_lock
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.store.openbao import OpenBaoStore
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, PASSPHRASE, make_request
from ansible_collections.fleet.tls.tests.unit.support.processes import FORK
from ansible_collections.fleet.tls.tests.unit.support.store_contract import ROW, add, row, value_of
from bao.proxy import HANG, LOSE, PASS, REFUSE, proxied
from bao.server import Cluster, until
from tools.ports import free_port

OpenStore = Callable[..., OpenBaoStore]


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait for long."""
    monkeypatch.setattr(openbao_lock, "LEASE", 6.0)
    monkeypatch.setattr(openbao_lock, "GRACE", 4.0)


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same."""
    monkeypatch.setattr(openbao, "PATIENCE", 1.0)


def failure(work: Callable[[], Any], kind: type[StoreError] = StoreError) -> str:
    """The words of its error; there is always something to do about it."""
    with pytest.raises(kind) as caught:
        work()
    assert caught.value.remedy
    return str(caught.value)


def all_values(cluster: Cluster, folder: str) -> Iterator[str]:
    """Everything that KV has below a folder, as text."""
    kv = cluster.root.secrets.kv.v2
    for name in kv.list_secrets(folder, mount_point="secret")["data"]["keys"]:
        if name.endswith("/"):
            yield from all_values(cluster, f"{folder}/{name.rstrip('/')}")
        else:
            yield str(kv.read_secret_version(f"{folder}/{name}", mount_point="secret", raise_on_deleted_version=True))


def test_a_token_that_leaks_gives_no_key(cluster: Cluster, open_store: OpenStore) -> None:
    CaIssuer("internal", {}, open_store()).issue([make_request()], NOW)
    texts = list(all_values(cluster, open_store().root))
    assert sum("BEGIN ENCRYPTED PRIVATE KEY" in text for text in texts) == 2
    assert not [text for text in texts if "BEGIN PRIVATE KEY" in text or "EC PRIVATE" in text or PASSPHRASE in text]


def test_people_can_read_it(cluster: Cluster, open_store: OpenStore) -> None:
    open_store().put("ca/a.pem", b"PEM\n", expect=None)
    kept = cluster.root.secrets.kv.v2.read_secret_version(
        f"{open_store().root}/entries/ca/a.pem", mount_point="secret", raise_on_deleted_version=True
    )
    assert kept["data"]["data"]["text"] == "PEM\n"


def test_an_entry_that_was_deleted_by_hand(cluster: Cluster, open_store: OpenStore) -> None:
    store = open_store()
    version = store.put("a", b"one", expect=None)
    cluster.root.secrets.kv.v2.delete_latest_version_of_secret(f"{store.root}/entries/a", mount_point="secret")
    assert store.get("a") is None
    with pytest.raises(StoreConflict):
        store.put("a", b"two", expect="7")
    store.put("a", b"two", expect=None)
    assert value_of(store, "a") == b"two" and store.get("a").version != version  # type: ignore[union-attr]


def test_an_entry_of_somebody_else(cluster: Cluster, open_store: OpenStore) -> None:
    store = open_store()
    for name in ("entries/a", "ledger/requests/internal/request-0001/ef"):
        cluster.root.secrets.kv.v2.create_or_update_secret(f"{store.root}/{name}", {"x": "y"}, mount_point="secret")
    assert "'a' in the store secret/" in failure(lambda: store.get("a"))
    with store.ledger() as ledger:
        assert "is damaged" in failure(lambda: ledger.find("internal", "request-0001", "ef"))


def test_a_write_whose_answer_is_lost_is_no_conflict(cluster: Cluster, open_store: OpenStore) -> None:
    with proxied(cluster) as proxy:
        store = open_store(url=proxy.url)
        version = store.put("a", b"one", expect=None)
        lose = iter([LOSE])
        proxy.rule = lambda method, path: next(lose, PASS) if method == "POST" else PASS
        second = store.put("a", b"two", expect=version)
        assert proxy.count("POST") == 3
        entry = open_store().get("a")
        assert entry is not None and (entry.value, entry.version, second) == (b"two", second, str(int(version) + 1))
        with pytest.raises(StoreConflict):
            store.put("a", b"three", expect=version)


def test_two_sessions_of_one_request(open_store: OpenStore) -> None:
    with open_store().ledger() as one, open_store().ledger() as two:
        assert one.find("internal", "request-0001", "ef") is None and two.find("internal", "request-0001", "ef") is None
        one.add(row(serial="first"))
        with pytest.raises(StoreConflict):
            two.add(row(serial="second"))
        assert two.find("internal", "request-0001", "ef") == row(serial="first")
    assert list(open_store().issuances()) == [row(serial="first")]


def test_an_order_that_was_begun_and_not_recorded_counts_for_nothing(cluster: Cluster, open_store: OpenStore) -> None:
    with proxied(cluster) as proxy:
        store = open_store(url=proxy.url)
        proxy.rule = lambda method, path: REFUSE if method == "POST" and "/requests/" in path else PASS
        proxy.refusal = (400, b'{"errors":["no"]}')
        assert "cannot be written: no" in failure(lambda: add(store, row(issued_at=1)))
    assert list(open_store().issuances()) == []
    add(open_store(), ROW)
    assert list(open_store().issuances()) == [ROW]


def test_many_rows(cluster: Cluster, open_store: OpenStore) -> None:
    month = 31 * 86400
    rows = [row(request_id=f"r-{number:04}", issued_at=number * month // 60) for number in range(300)]
    add(open_store(), *rows)
    with proxied(cluster) as proxy:
        assert list(open_store(url=proxy.url).issuances()) == rows
        assert proxy.count("LIST") == 7 and proxy.count("GET") == 300
        proxy.seen.clear()
        assert list(open_store(url=proxy.url).issuances(since=rows[270].issued_at)) == rows[270:]
        assert proxy.count("LIST") == 3 and proxy.count("GET") == 30
        proxy.seen.clear()
        assert next(open_store(url=proxy.url).issuances()) == rows[0]
        assert proxy.count("GET") <= 64
        proxy.seen.clear()
        with open_store(url=proxy.url).ledger() as ledger:
            assert ledger.find("internal", "r-0123", "ef") == rows[123]
        assert len(proxy.seen) == 2


def test_a_lock_that_is_held_longer_than_its_lease(short_leases: None, open_store: OpenStore) -> None:
    with open_store().lock("x"):
        with pytest.raises(StoreBusy), open_store().lock("x", wait=14):
            pass
        open_store().put("a", b"x", expect=None)
    with open_store().lock("x", wait=0):
        pass


def test_whoever_stood_still_for_too_long_writes_no_more(
    short_leases: None, open_store: OpenStore, tmp_path: Path
) -> None:
    def hold() -> None:
        store = open_store()
        with store.lock("x"):
            version = store.put("a", b"of the first", expect=None)
            (tmp_path / "held").touch()
            until((tmp_path / "go-on").exists, "nobody lets it go on")
            try:
                # Nobody else has written it: what refuses is the lost lock, not the entry's version.
                store.put("a", b"of the first, too late", expect=version)
            except StoreBusy as error:
                (tmp_path / "words").write_text(str(error))

    holder = FORK.Process(target=hold)
    holder.start()
    until((tmp_path / "held").exists, "it does not get the lock")
    assert holder.pid
    os.kill(holder.pid, signal.SIGSTOP)
    with open_store().lock("x", wait=60):
        (tmp_path / "go-on").touch()
        os.kill(holder.pid, signal.SIGCONT)
        holder.join(60)
        assert holder.exitcode == 0
        assert "the lock 'x' was lost: this run stood still" in (tmp_path / "words").read_text()
        assert value_of(open_store(), "a") == b"of the first"
    # It did not give back the lock of the other.
    with open_store().lock("x", wait=0):
        pass


def test_a_holder_that_is_cut_off_ends_first(
    short_leases: None, short_patience: None, cluster: Cluster, open_store: OpenStore
) -> None:
    with proxied(cluster) as proxy:
        store = open_store(url=proxy.url, timeout="1s")
        with store.lock("x"):
            proxy.rule = lambda method, path: HANG
            with open_store().lock("x", wait=60):
                with pytest.raises(StoreError, match="gave no answer"):
                    store.put("a", b"x", expect=None)
                proxy.rule = lambda method, path: PASS
                with pytest.raises(StoreBusy, match="was lost"):
                    store.put("a", b"x", expect=None)
    assert open_store().get("a") is None


def test_a_holder_that_was_cut_off_and_finds_nobody_else_goes_on(
    short_leases: None, short_patience: None, cluster: Cluster, open_store: OpenStore
) -> None:
    """A change of leader may take longer than a lease."""
    with proxied(cluster) as proxy:
        store = open_store(url=proxy.url)
        with store.lock("x"):
            proxy.rule = lambda method, path: REFUSE
            (lease,) = store.leases
            until(lambda: lease.ends < time.monotonic(), "the lease goes on")
            proxy.rule = lambda method, path: PASS
            store.put("a", b"x", expect=None)
    with open_store().lock("x", wait=0):
        pass


def test_renewals_whose_answers_are_lost_are_still_the_holders_own(
    short_leases: None, short_patience: None, cluster: Cluster, open_store: OpenStore
) -> None:
    """They came to be, so that the entry is another than the holder knows; nobody else had the lock."""
    with proxied(cluster) as proxy:
        store = open_store(url=proxy.url)
        with store.lock("x"):
            proxy.rule = lambda method, path: LOSE
            (lease,) = store.leases
            until(lambda: lease.ends < time.monotonic(), "the lease goes on")
            proxy.rule = lambda method, path: PASS
            store.put("a", b"x", expect=None)
    # Given back as well.
    with open_store().lock("x", wait=0):
        pass


@pytest.mark.parametrize("skew", [-86400.0, 86400.0])
def test_clocks_do_not_count(
    skew: float, short_leases: None, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder whose clock is a day off keeps its lock, and loses it when it is killed."""
    true_time = time.time

    def hold() -> None:
        time.time = lambda: true_time() + skew
        with open_store().lock("x"):
            (tmp_path / "held").touch()
            time.sleep(600)

    holder = FORK.Process(target=hold)
    holder.start()
    until((tmp_path / "held").exists, "it does not get the lock")
    with pytest.raises(StoreBusy), open_store().lock("x", wait=14):
        pass
    holder.kill()
    holder.join()
    with open_store().lock("x", wait=60):
        pass


def test_sealed_and_unsealed(cluster: Cluster, open_store: OpenStore) -> None:
    store = open_store()
    version = store.put("a", b"one", expect=None)
    cluster.seal()
    try:
        for work in (lambda: store.get("a"), lambda: store.put("a", b"two", expect=version)):
            words = failure(work)
            assert "it is sealed. Unseal it (bao operator unseal)" in words
    finally:
        cluster.unseal_all()
    assert store.put("a", b"two", expect=version)


def test_rights(cluster: Cluster, open_store: OpenStore) -> None:
    poor = cluster.token("default")
    store = open_store(auth={"method": "token", "token": poor})
    for work in (lambda: store.get("a"), lambda: store.put("a", b"x", expect=None), lambda: list(store.issuances())):
        words = failure(work)
        assert "permission denied for " in words and "policy" in words and poor not in words
    gone = cluster.token("default")
    cluster.root.auth.token.revoke(gone)
    words = failure(lambda: open_store(auth={"token": gone}).get("a"))
    assert "the token is not valid: it has expired, was revoked" in words and gone not in words


def test_engines_that_do_not_fit(cluster: Cluster, open_store: OpenStore) -> None:
    root = {"auth": {"token": cluster.root_token}}
    store = open_store(mount="nowhere", **root)
    for work in (lambda: store.get("a"), lambda: store.put("a", b"x", expect=None), lambda: list(store.issuances())):
        words = failure(work)
        assert "nowhere/" in words and "secrets enable" in words or "mount" in words
    cluster.root.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
    old = open_store(mount="old", **root)
    assert "'old/' is not a KV engine of version 2. Bao kv enable-versioning old/" in failure(
        lambda: old.put("a", b"x", expect=None)
    )
    assert cluster.root.list("old") is None


def test_nobody_there(open_store: OpenStore, short_patience: None) -> None:
    words = failure(lambda: open_store(url=f"https://127.0.0.1:{free_port()}").get("a"))
    assert "cannot be reached: Connection refused" in words
    with proxied_nothing() as port:
        words = failure(lambda: open_store(url=f"https://127.0.0.1:{port}", timeout="1s").get("a"))
        assert "gave no answer" in words or "cannot be reached" in words or "handshake" in words


class proxied_nothing:
    """A port that takes connections and never says a word."""

    def __enter__(self) -> int:
        self.socket = socket.create_server(("127.0.0.1", 0))
        return int(self.socket.getsockname()[1])

    def __exit__(self, *_error: object) -> None:
        self.socket.close()


def test_one_address_of_two_is_enough(cluster: Cluster, open_store: OpenStore) -> None:
    store = open_store(url=[f"https://127.0.0.1:{free_port()}", *cluster.urls])
    store.put("a", b"x", expect=None)
    assert value_of(store, "a") == b"x"


def test_a_slow_server(cluster: Cluster, open_store: OpenStore, short_patience: None) -> None:
    with proxied(cluster) as proxy:
        store = open_store(url=proxy.url, timeout="1s")
        proxy.rule = lambda method, path: HANG
        assert "gave no answer within 1 s" in failure(lambda: store.get("a"))
        proxy.rule = lambda method, path: PASS
        assert store.get("a") is None


def test_a_server_without_a_leader_for_a_moment(cluster: Cluster, open_store: OpenStore) -> None:
    with proxied(cluster) as proxy:
        store = open_store(url=proxy.url)
        threading.Timer(2, lambda: setattr(proxy, "rule", lambda method, path: PASS)).start()
        proxy.rule = lambda method, path: REFUSE
        store.put("a", b"x", expect=None)
        assert proxy.count("GET") > 1
    assert value_of(open_store(), "a") == b"x"


def test_a_server_without_a_leader_for_long(cluster: Cluster, open_store: OpenStore, short_patience: None) -> None:
    with proxied(cluster) as proxy:
        proxy.rule = lambda method, path: REFUSE
        words = failure(lambda: open_store(url=proxy.url).get("a"))
    assert "it has no active node" in words and "raft list-peers" in words


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (429, b'{"errors":["request path: rate limit quota exceeded"]}', "takes no more requests now"),
        (502, b"<html>Bad Gateway</html>", "no active node, status 502"),
        (500, b'{"errors":["1 error occurred:\\n\\t* disk full\\n\\n"]}', "1 error occurred: * disk full"),
        (200, b"no JSON", "is not a KV engine of version 2"),
    ],
)
def test_other_answers(
    status: int, body: bytes, says: str, cluster: Cluster, open_store: OpenStore, short_patience: None
) -> None:
    with proxied(cluster) as proxy:
        proxy.rule, proxy.refusal = lambda method, path: REFUSE, (status, body)
        assert says in failure(lambda: open_store(url=proxy.url).put("a", b"x", expect=None))


def test_a_secret_that_the_server_repeats_is_not_told(cluster: Cluster, open_store: OpenStore) -> None:
    token = cluster.token("default")
    with proxied(cluster) as proxy:
        proxy.rule, proxy.refusal = lambda method, path: REFUSE, (418, f'{{"errors":["no {token}!"]}}'.encode())
        words = failure(lambda: open_store(url=proxy.url, auth={"token": token}).get("a"))
    assert "no ***!" in words and token not in words


def test_a_listener_that_is_not_trusted(
    cluster: Cluster, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = to_pem(make_root("Other", "ecdsa-p256", NOW, 10 * DAY).certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", cluster.ca_path)
    for option in ({"ca_certificate": other}, {"ca_certificate": None}):
        words = failure(lambda: open_store(**option).get("a"))  # noqa: B023
        assert "is not trusted" in words and "ca_certificate" in words
    with open(cluster.ca_path, encoding="ascii") as stream:
        assert open_store(ca_certificate=stream.read()).get("a") is None
    (tmp_path / "empty.pem").touch()
    assert "ca_certificate cannot be used" in failure(
        lambda: open_store(ca_certificate=str(tmp_path / "empty.pem")).get("a")
    )
    assert "No such file" in failure(lambda: open_store(ca_certificate=str(tmp_path / "none.pem")).get("a"))
    name = cluster.urls[0].replace("127.0.0.1", "localhost")
    assert "is not trusted" in failure(lambda: open_store(url=name).get("a"))
