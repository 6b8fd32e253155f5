# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.clocks import skew_between
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Reason, Verdict
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Progress
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.verdicts import (
    asks_for_successor,
    refuse_clock,
    seems_foreign,
    warnings,
    with_successor,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_issuing, make_leaf, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_spec

ROOT = make_root("Bought", "ecdsa-p256", NOW, 1000 * DAY)
ISSUING = make_issuing("Bought issuing", "ecdsa-p256", ROOT, NOW, 500 * DAY)
EXPIRING = Verdict((Reason("expiring", "soon"),), (Reason("drift", "mode"),))


def leaf(*names: str, days: int = 90) -> x509.Certificate:
    public_key = ISSUING.private_key.public_key()
    return make_leaf(public_key, Names(dns_names=names), ("server_auth",), ISSUING, NOW, days * DAY)


SPEC = make_spec("www")
MINE = leaf(*SPEC.names.dns_names)


def test_a_newer_certificate_makes_one_due() -> None:
    for verdict in (Verdict(), EXPIRING):
        found = with_successor(verdict, SPEC, "bought", MINE, leaf(*SPEC.names.dns_names, "more.example", days=99))
        assert [each.code for each in found.reasons] == [*(each.code for each in verdict.reasons), "source_changed"]
        assert found.repairs == verdict.repairs and found.notes == ()


def test_where_there_is_none_the_old_one_has_to_do() -> None:
    found = with_successor(EXPIRING, SPEC, "bought", MINE, None)
    assert found.reasons == () and found.repairs == EXPIRING.repairs
    assert len(found.notes) == 1 and "'bought' has nothing newer" in found.notes[0]
    assert with_successor(Verdict(), SPEC, "bought", MINE, None) == Verdict()


def test_one_for_other_names_is_noted() -> None:
    found = with_successor(Verdict(), SPEC, "bought", MINE, leaf("other.example", days=99))
    assert found.reasons == () and "but for other names (other.example)" in found.notes[0]


def test_when_it_matters_what_lies_ready() -> None:
    assert asks_for_successor(Verdict()) and asks_for_successor(EXPIRING)
    assert not asks_for_successor(Verdict((Reason("names_changed", ""), *EXPIRING.reasons)))


def test_whose_certificate_it_seems_to_be() -> None:
    untrusted = Verdict((Reason("chain_untrusted", ""),))
    assert seems_foreign(Verdict(), MINE, ()) and seems_foreign(untrusted, MINE, (ROOT.certificate,))
    assert not seems_foreign(Verdict(), MINE, (ROOT.certificate,)) and not seems_foreign(untrusted, None, ())


@pytest.mark.parametrize(
    ("asked", "host", "answered", "skew"),
    [(100, 100, 160, 0), (100, 160, 160, 0), (100, 90, 160, -10), (100, 165, 160, 5)],
)
def test_every_moment_of_a_look_is_right(asked: float, host: float, answered: float, skew: float) -> None:
    assert skew_between(asked, host, answered) == skew


@pytest.mark.parametrize(("skew", "words"), [(7200.0, "2.0 h ahead of"), (-7200.0, "2.0 h behind")])
def test_a_clock_that_is_far_off(skew: float, words: str) -> None:
    refuse_clock(skew / 2)
    with pytest.raises(HostError, match=words) as caught:
        refuse_clock(skew)
    assert caught.value.code == "clock"


def test_warnings() -> None:
    progress = {"www": Progress(SPEC, verdict=Verdict(notes=("look", "look")), notes=["at this"])}
    assert warnings("web1", 0.0, True, progress) == [
        "web1: certificate 'www': look",
        "web1: certificate 'www': at this",
    ]
    found = warnings("web1", -400.0, ("www", "wwv"), progress)
    assert found[:2] == [
        "web1: the clock is -400 s off the controller's",
        "web1: force: no certificate here is called wwv",
    ]
