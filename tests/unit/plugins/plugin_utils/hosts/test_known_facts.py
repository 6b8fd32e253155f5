# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host said last is in the store; where it cannot be used, it is as if nobody knew."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import HostFacts
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.known_facts import known_facts, note_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store

FACTS = HostFacts("debian", (3, 0, 2), (3, 11), systemd=True, resolvers=("192.0.2.1",), ocsp=("www",), nginx_sites=True)


def test_there_and_back(tmp_path: Path) -> None:
    store = load_store({"path": str(tmp_path / "store")})
    assert known_facts(store, "web1") is None
    note_facts(store, "web1", FACTS)
    assert known_facts(store, "web1") == FACTS and known_facts(store, "web2") is None
    path = tmp_path / "store" / "hosts" / "web1.json"
    before = path.stat().st_mtime_ns
    note_facts(store, "web1", FACTS)
    assert path.stat().st_mtime_ns == before


def test_what_is_damaged_is_not_known(tmp_path: Path) -> None:
    store = load_store({"path": str(tmp_path / "store")})
    note_facts(store, "web1", FACTS)
    for content in ("", "[]", '{"version": 1, "family": "debian"}', '{"version": 1, "openssl": "x", "family": 7}'):
        (tmp_path / "store" / "hosts" / "web1.json").write_text(content)
        assert known_facts(store, "web1") is None
    note_facts(store, "web1", FACTS)
    assert known_facts(store, "web1") == FACTS
