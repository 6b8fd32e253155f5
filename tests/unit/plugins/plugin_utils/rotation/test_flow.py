# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, RotationError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import Freeze, Maintenance
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.flow import (
    Flow,
    TrustedFiles,
    chosen_issuer,
    parse_proofs,
    trusted_files,
)
from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import ISSUING, ROOT, ForeignCa
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_store


def flow_of(path: Path, passphrase: str | None = None) -> Flow:
    issuer = make_issuer(path) if passphrase is None else make_issuer(path, passphrase=passphrase)
    return Flow(store=issuer.store, kind="ca", issuer=issuer, inventory=["web1"], now=NOW)


def test_begun_with_a_wrong_passphrase_it_can_be_gone_on_with(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    with pytest.raises(PassphraseError):
        flow_of(tmp_path, "another passphrase").begin((), ())
    rotation = flow_of(tmp_path).begin((), ())
    assert rotation is not None and rotation.stage == "prepare"
    assert make_issuer(tmp_path).rollover().state().successor == ("root-2", "issuing-2")


def test_a_kill_between_the_ca_and_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_issuer(tmp_path).prepare(NOW)
    flow = flow_of(tmp_path)
    flow.begin((), ())
    flow.record_proof("web1", [])

    real = flow.store.put

    def put(key: str, value: bytes, *, expect: str | None) -> str:
        if key.startswith("rotations/"):
            raise KeyboardInterrupt
        return real(key, value, expect=expect)

    monkeypatch.setattr(flow.store, "put", put)
    with pytest.raises(KeyboardInterrupt):
        flow.advance((), {})
    monkeypatch.undo()
    # The CA issues from the new one, as it may: every host had proven that. The record follows.
    assert make_issuer(tmp_path).rollover().state().root == "root-2"
    assert flow_of(tmp_path).begin((), ()).stage == "prepare"  # type: ignore[union-attr]
    assert flow_of(tmp_path).advance((), {}).stage == "activate"
    assert make_issuer(tmp_path).rollover().state().trusted == ("root-2", "root-1")


def test_a_proof_of_a_stage_that_is_over_is_not_recorded(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    flow = flow_of(tmp_path)
    flow.begin((), ())
    late = flow_of(tmp_path)
    stale = late.required()
    flow.record_proof("web1", [])
    flow.advance((), {})
    late.required = lambda: stale  # type: ignore[method-assign]
    with pytest.raises(RotationError, match="has gone on meanwhile"):
        late.record_proof("web1", [])


def test_another_one_after_the_end(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    flow = flow_of(tmp_path)
    flow.begin((), ())
    for _stage in range(3):
        flow.record_proof("web1", [])
        flow.advance((), {})
    assert flow.present().is_done  # type: ignore[union-attr]
    again = Flow(flow.store, "ca", flow.issuer, ["web1"], NOW + dt.timedelta(days=1)).begin((), ())
    assert again is not None and again.stage == "prepare" and again.begun_at == int(NOW.timestamp()) + 86400
    assert make_issuer(tmp_path).rollover().state().successor == ("root-3", "issuing-3")


def issuers(path: Path, *names: str) -> dict[str, Issuer]:
    make_issuer(path, "elsewhere").prepare(NOW)
    anchors = str(path / "ca/elsewhere/root-1.pem")
    raw: dict[str, dict[str, object]] = {name: {"type": "ca"} for name in names}
    raw["other"] = {"type": "command", "command": ["/bin/true"], "anchors": anchors}
    return load_issuers(raw, make_store(path))


def test_the_only_ca_needs_no_name(tmp_path: Path) -> None:
    assert chosen_issuer(issuers(tmp_path, "internal"), None).name == "internal"
    assert chosen_issuer(issuers(tmp_path, "a", "b"), "b").name == "b"


@pytest.mark.parametrize(
    ("names", "name", "said"),
    [(("a", "b"), None, "which CA is to be replaced.*a, b"), ((), None, "none"), (("a",), "other", "has no CA in the store"),
     (("a",), "aa", "issuer: 'aa' is unknown")],
)  # fmt: skip
def test_which_ca(names: tuple[str, ...], name: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=said):
        chosen_issuer(issuers(tmp_path, *names), name)


def test_bundles_that_have_to_hold_the_ca() -> None:
    options = {
        "bundles": [
            {"path": "/a.pem"}, {"path": "/e.pem", "issuers": None}, {"path": "/f.pem", "issuers": ["internal"]}, {"path": "/g.pem", "issuers": []},
        ],
        "clients": [
            {"bundle": {"path": "/b.pem", "issuers": ["internal"]}}, {"bundle": {"path": "/c.pem", "issuers": ["other"]}},
            {"bundle": {"path": "/d.pem"}}, {"bundle": {"path": "/a.pem"}}, {"certificate": "app"},
        ],
        "trust_issuers": None,
    }  # fmt: skip
    assert trusted_files(options, "internal") == TrustedFiles(
        "internal", ("/a.pem", "/e.pem", "/f.pem", "/b.pem", "/d.pem")
    )
    assert trusted_files({**options, "trust_issuers": ["other"]}, "internal").issuer is None
    assert trusted_files({**options, "trust_issuers": ["other"]}, "internal").paths == (
        "/f.pem",
        "/b.pem",
        "/d.pem",
        "/a.pem",
    )
    assert trusted_files(options, None) == TrustedFiles(None)
    with pytest.raises(SpecError, match="bundles: path"):
        trusted_files({**options, "bundles": [{"path": "relative"}]}, "internal")


def test_answers_are_taken_for_what_they_are() -> None:
    proof = {
        "kind": "bundle",
        "subject": "a\n\x1b[2Jb",
        "canary": "old",
        "outcome": None,
        "error": "x" * 5000,
        "junk": 1,
    }
    (parsed,) = parse_proofs({"proofs": [proof]})
    assert parsed["subject"] == "a  [2Jb" and len(str(parsed["error"])) < 2100 and "junk" not in parsed
    for bad in ({}, {"proofs": [1]}, {"proofs": [{}]}, {"proofs": 3}):
        with pytest.raises((KeyError, TypeError, AttributeError)):
            parse_proofs(bad)


def test_a_slip_of_the_pen_is_found_before_anything_is_done(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    flow = flow_of(tmp_path)
    flow.hosts, flow.certificates = ["web1", "printer"], ["www"]
    with pytest.raises(SpecError, match="leave_behind: neither inventory nor store know a host 'wbe1'") as caught:
        flow.begin((), ["web1", "wbe1"])
    assert "web1" in str(caught.value.remedy) and flow.present() is None
    with pytest.raises(SpecError, match="names: neither inventory nor store know a certificate 'ww'"):
        flow.begin(["www", "ww"], ())
    assert flow.present() is None
    flow.begin(["www"], ["printer"])
    with pytest.raises(SpecError, match="a host 'prnter'"):
        flow.advance(["prnter"], {})
    # Who has left the inventory since it began may be left behind.
    flow.inventory, flow.hosts = (), ()
    assert flow.advance(["web1"], {}).stage == "activate"


def test_it_begins_and_goes_on_in_maintenance_windows_only(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    frozen, free = Maintenance(freezes=(Freeze(),)), Maintenance()

    def flow(maintenance: Maintenance, **options: Any) -> Flow:
        return dataclasses.replace(flow_of(tmp_path), maintenance=maintenance, **options)

    for check in (True, False):
        held = flow(frozen, check=check)
        assert held.begin((), ()) is None and held.waits and held.present() is None
    assert flow(free).begin((), ()) is not None
    # A stage that has begun is finished whenever that is.
    assert flow(frozen).begin((), ()).stage == "prepare"  # type: ignore[union-attr]
    flow(frozen).record_proof("web1", [])
    for check in (True, False):
        held = flow(frozen, check=check)
        assert held.advance((), {}).stage == "prepare" and held.waits
        assert make_issuer(tmp_path).rollover().state().root == "root-1"
    # What was proven is still proven, and the next window takes it on.
    assert flow(free).advance((), {}).stage == "activate"
    flow(frozen).record_proof("web1", [])
    assert flow(frozen).advance((), {}).stage == "activate"
    assert flow(free).advance((), {}).stage == "retire"
    flow(frozen).record_proof("web1", [])
    assert flow(frozen).advance((), {}).is_done


def test_a_ca_near_its_end_is_replaced_whatever_is_frozen(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    (root,) = issuer.trust()
    sixth = (root.not_valid_after_utc - root.not_valid_before_utc) / 6
    frozen = Maintenance(freezes=(Freeze(),))
    for moment, begun in ((root.not_valid_after_utc - sixth - DAY, False), (root.not_valid_after_utc - sixth, True)):
        flow = dataclasses.replace(flow_of(tmp_path), maintenance=frozen, now=moment)
        assert (flow.begin((), ()) is not None) == begun


def test_a_stage_that_the_ca_has_begun_is_recorded_though_all_is_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_issuer(tmp_path).prepare(NOW)
    flow = flow_of(tmp_path)
    flow.begin((), ())
    flow.record_proof("web1", [])
    make_issuer(tmp_path).rollover().activate()
    flow = dataclasses.replace(flow_of(tmp_path), maintenance=Maintenance(freezes=(Freeze(),)))
    assert flow.advance((), {}).stage == "activate"


def test_a_next_root_whose_key_is_elsewhere_holds_the_rotation_at_its_first_stage(tmp_path: Path) -> None:
    corp, answer = ForeignCa(tmp_path / "corp"), tmp_path / "issuing.pem"
    # Well after all that openssl makes here, however long it takes.
    now = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=6)
    make_issuer(tmp_path / "store").prepare(now)
    given = {"root": {"certificate": str(corp.make("root", ROOT))}, "issuing": {"certificate": str(answer)}}

    def flow() -> Flow:
        issuer = make_issuer(tmp_path / "store", **given)
        return Flow(issuer.store, "ca", issuer, ["web1"], now)

    for _time in range(2):
        with pytest.raises(RotationError, match=r"stays at 'prepare': .* waits for the signature .* issuing-2.csr"):
            flow().begin((), ())
        assert flow().required().stage == "prepare"
    signed = corp.sign(tmp_path / "store/ca/internal/issuing-2.csr", "signed", ISSUING, "root", days=800)
    answer.write_bytes(signed.read_bytes())
    rotation = flow().begin((), ())
    assert rotation is not None and (rotation.stage, rotation.target) == ("prepare", "root-2")
    flow().record_proof("web1", [])
    assert flow().advance((), {}).stage == "activate"
    assert make_issuer(tmp_path / "store", **given).rollover().state().root == "root-2"
