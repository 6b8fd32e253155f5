# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be taken over, under which entry, and why not; and that no host can have YAML written that says something else than it is."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.fleet.tls.plugins.plugin_utils.adoption.candidates import MOST_PAIRS, Found, Judge
from ansible_collections.fleet.tls.plugins.plugin_utils.adoption.document import documents, table
from ansible_collections.fleet.tls.plugins.plugin_utils.adoption.places import CONFIGURATIONS, renewer_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.presets import preset_names

LIVE = "/etc/letsencrypt/live/www.example.com"


def leaf(name: str = "www.example.com", number: str = "a", **changes: Any) -> dict[str, Any]:
    """A certificate as certificate_files_info tells of it."""
    return {
        "subject": f"CN={name}", "issuer": "CN=R3", "common_name": name, "dns_names": [name], "ip_addresses": [], "uris": [],
        "email_addresses": [], "usages": ["server_auth"], "not_before": "2026-11-01T00:00:00Z", "not_after": "2027-01-30T00:00:00Z",
        "days_left": 60.0, "fingerprint_sha256": f"leaf-{name}-{number}", "key_algorithm": "ecdsa-p256", "ca": False,
        "public_key_sha256": f"key-{name}-{number}", "error": None, **changes,
    }  # fmt: skip


ABOVE = leaf("R3", subject="CN=R3", issuer="CN=Root", ca=True, dns_names=[])


def file(path: str, *certificates: dict[str, Any], key: str | None = None, **changes: Any) -> dict[str, Any]:
    """A file that has them, and maybe a key."""
    keys = [{"algorithm": "ecdsa", "encrypted": False, "public_key_sha256": key}] if key else []
    return {
        "path": path, "links": [], "format": "pem", "owner": "root", "group": "root", "mode": "0600" if key else "0644",
        "managed": None, "error": None, "certificates": list(certificates), "private_keys": keys,
        "pairs": [] if certificates[:1] == (ABOVE,) else ["x"], **changes,
    }  # fmt: skip


def lineage(folder: str = LIVE, name: str = "www.example.com", **changes: Any) -> list[dict[str, Any]]:
    """certbot's four files."""
    own = leaf(name, **changes)
    archive = folder.replace("/live/", "/archive/")
    found = [
        file(f"{folder}/cert.pem", own), file(f"{folder}/chain.pem", ABOVE), file(f"{folder}/fullchain.pem", own, ABOVE),
        file(f"{folder}/privkey.pem", key=own["public_key_sha256"]),
    ]  # fmt: skip
    for each in found:
        each["links"] = [each["path"].replace(folder, archive).replace(".pem", "1.pem")]
    return found


def judged(files: list[dict[str, Any]], *named: str, service: str = "nginx", **options: Any) -> Found:
    return Judge(files, {service: named}, "public", **options)()


def only(found: Found) -> dict[str, Any]:
    assert found.refused == {}
    (candidate,) = found.candidates
    return dict(candidate.entry)


def result_of(found: Found) -> dict[str, Any]:
    adoptable = [
        {"entry": each.entry, "not_after": each.not_after, "public_key_sha256": each.key, "notes": each.notes}
        for each in found.candidates
    ]
    return {"adoptable": adoptable, "refused": [{"path": path, "why": why} for path, why in found.refused.items()]}


def test_a_lineage_of_certbot_under_the_paths_that_nginx_names() -> None:
    found = judged(lineage(), f"{LIVE}/fullchain.pem", f"{LIVE}/privkey.pem")
    assert only(found) == {
        "name": "www.example.com",
        "issuer": "public",
        "dns_names": ["www.example.com"],
        "private_key": {"algorithm": "ecdsa-p256"},
        "adopt": {"certificate": f"{LIVE}/fullchain.pem", "private_key": f"{LIVE}/privkey.pem"},
        "outputs": [
            {"path": f"{LIVE}/fullchain.pem", "format": "fullchain", "mode": "0644"},
            {"path": f"{LIVE}/privkey.pem", "format": "privkey", "mode": "0600"},
        ],
        "services": ["nginx"],
    }
    assert any("certbot renews it still" in note for note in found.candidates[0].notes)
    text = documents({"web": result_of(found)})["web"]
    (written,) = yaml.safe_load(text)["tls_certificates"]
    assert written == only(found)
    assert parse_host([written], {"public": None}).certificates[0].adopt is not None


def test_leaf_and_chain_in_files_of_their_own() -> None:
    found = only(judged(lineage(), f"{LIVE}/cert.pem", f"{LIVE}/chain.pem", f"{LIVE}/privkey.pem", service="apache"))
    assert {each["path"].rpartition("/")[2]: each["format"] for each in found["outputs"]} == {
        "cert.pem": "cert", "chain.pem": "chain", "privkey.pem": "privkey",
    }  # fmt: skip


def test_all_in_one_file_and_what_is_signed_by_itself() -> None:
    path = "/etc/haproxy/certs/www.pem"
    own = leaf(subject="CN=me", issuer="CN=me", ca=True)
    found = only(
        judged([file(path, own, key=own["public_key_sha256"], group="haproxy", mode="0640")], path, service="haproxy")
    )
    assert found["adopt"] == {"certificate": path, "private_key": path}
    assert found["outputs"] == [{"path": path, "format": "combined", "group": "haproxy", "mode": "0640"}]


def test_a_copy_that_a_hook_made_is_what_its_service_reads() -> None:
    path, key = "/etc/haproxy/certs/www.pem", "key-www.example.com-a"
    found = judged([file(path, leaf(), ABOVE, key=key), *lineage()], path, service="haproxy")
    assert only(found)["adopt"] == {"certificate": path, "private_key": path}
    assert [each["path"] for each in only(found)["outputs"]] == [path]
    assert any("certbot renews it still" in note for note in found.candidates[0].notes)


def test_a_mode_that_nothing_gives_to_a_key() -> None:
    found = judged([*lineage()[:3], {**lineage()[3], "mode": "0644"}], f"{LIVE}/privkey.pem")
    assert only(found)["outputs"] == [{"path": f"{LIVE}/privkey.pem", "format": "privkey", "mode": "0600"}]
    assert any("0644" in note for note in found.candidates[0].notes)


@pytest.mark.parametrize(
    ("files", "named", "words"),
    [
        (lineage()[:3], (), "no private key on this host fits it"),
        ([*lineage()[:3], file(f"{LIVE}/privkey.pem", key="another")], (), "no private key on this host fits it"),
        ([file("/a", leaf(days_left=-1.0)), file("/b", key="key-www.example.com-a")], (), "expired"),
        ([file("/a.p12", leaf(), key="key-www.example.com-a", format="pkcs12")], (), "pkcs12, not PEM"),
        ([file("/a", leaf(), leaf("x.org"), key="key-www.example.com-a")], (), "out of order"),
        ([*lineage(), file("/o.pem", leaf(), key="key-www.example.com-a")], ("/o.pem",), "has other certificates"),
        ([file("/a", leaf(dns_names=[]), key="key-www.example.com-a")], (), "no names"),
        ([*lineage(), file("/o.pem", leaf(), leaf("x.org"))], ("/o.pem",), "has other certificates"),
        ([file("/a", leaf(uris=["x:{{ lookup('pipe', 'id') }}".replace(" ", "")]), key="key-www.example.com-a")], (), "template"),
        ([file("/a", leaf(dns_names=["a\n- evil"]), key="key-www.example.com-a")], (), "letters"),
        ([file("/a{{x}}", leaf(), key="key-www.example.com-a")], (), "misread"),
        ([file("/a\nb: c", leaf(), key="key-www.example.com-a")], (), "misread"),
        ([file("/a", leaf(), key="key-www.example.com-a", owner="x\ny")], ("/a",), "misread"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_says_why(files: list[dict[str, Any]], named: tuple[str, ...], words: str) -> None:
    found = judged(files, *named)
    assert not found.candidates and any(words in why for why in found.refused.values()), found


def test_what_is_managed_or_a_ca_or_from_before_a_renewal_is_not_offered() -> None:
    managed = [file("/etc/fleet-tls/live/www/cert.pem", leaf(), managed="www")]
    assert judged([*lineage(), *managed]) == Found()
    assert (
        judged([file("/etc/ca.pem", leaf(ca=True), pairs=[]), file("/etc/ca.key", key="key-www.example.com-a")])
        == Found()
    )
    old = [
        file("/old.pem", leaf(number="b", not_after="2026-12-01T00:00:00Z")),
        file("/old.key", key="key-www.example.com-b"),
    ]
    assert only(judged([*old, *lineage()]))["adopt"]["certificate"] == f"{LIVE}/fullchain.pem"


def test_names_are_given_once() -> None:
    more = lineage("/etc/letsencrypt/live/other", number="b", key_algorithm="rsa-2048")
    found = judged([*lineage(), *more], taken=["www.example.com"])
    assert [each.entry["name"] for each in found.candidates] == ["www.example.com-2", "www.example.com-3"]
    assert only(judged(lineage(name="*.example.com")))["name"] == "wildcard.example.com"


def test_there_are_only_so_many() -> None:
    files = [
        each
        for number in range(MOST_PAIRS + 2)
        for each in lineage(f"/etc/letsencrypt/live/{number}", f"w{number}.example.com")
    ]
    found = judged(files)
    assert len(found.candidates) == MOST_PAIRS and len(found.refused) == 2


def test_a_pair_that_two_hosts_have_is_said_with_both() -> None:
    result = result_of(judged(lineage()))
    texts = documents({"web1": result, "web2": result, "web3": {"skipped": True}})
    assert set(texts) == {"web1", "web2"}
    assert "the same pair is on web2" in texts["web1"] and "the same pair is on web1" in texts["web2"]
    assert any("scope: pool" in line for line in table({"web1": result, "web2": result}))


def test_comments_cannot_become_yaml() -> None:
    found = judged(lineage())
    assert yaml.safe_load(documents({"web": result_of(found)})["web"]).keys() == {"tls_certificates"}
    with pytest.raises(SpecError):
        documents({"web": {"adoptable": "x"}})


def test_every_preset_says_where_its_configuration_is() -> None:
    assert set(CONFIGURATIONS) == set(preset_names())


def test_who_renews_a_file() -> None:
    assert renewer_of("/x/fullchain.pem", "/etc/letsencrypt/archive/www/fullchain3.pem") == "certbot"
    assert renewer_of("/var/lib/dehydrated/certs/www/fullchain.pem") == "dehydrated"
    assert renewer_of("/root/.acme.sh/www_ecc/fullchain.cer") == "acme.sh"
    assert renewer_of("/root/.lego/certificates/www.crt") == "lego"
    assert renewer_of("/etc/ssl/www.pem") is None
