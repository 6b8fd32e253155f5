# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.order import ValidationError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    CertificateError,
    HostError,
    SpecError,
    StoreBusy,
    StoreError,
    TlsError,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TlsError("it broke"), "it broke"),
        (TlsError("it broke", remedy="mend it"), "it broke. Mend it."),
        (TlsError("it broke", remedy="did you mean 'x'?"), "it broke. Did you mean 'x'?"),
        (SpecError("is bad", certificate="www"), "certificate 'www': is bad"),
        (SpecError("is bad", remedy="fix it", certificate="www"), "certificate 'www': is bad. Fix it."),
    ],
)
def test_text_for_people(error: TlsError, text: str) -> None:
    assert str(error) == text


def test_told_of_a_certificate_it_is_the_same_error() -> None:
    error = HostError("the disk is full", code="disk_full", remedy="make room")
    told = error.about("www")
    assert (type(told), told.code, told.certificate) == (HostError, "disk_full", "www")
    assert str(told) == "certificate 'www': the disk is full. Make room."
    assert error.certificate is None


def test_an_error_that_wants_more_than_words_is_told_of_a_certificate_too() -> None:
    error = ValidationError("the CA could not validate a name", ["www.example.com"])
    told = error.about("www")
    assert isinstance(told, ValidationError) and told.domains == ["www.example.com"] and told.args == error.args
    assert str(told).startswith("certificate 'www': the CA could not validate a name. ")


def test_as_dict_is_ready_for_a_result() -> None:
    assert StoreBusy("held", remedy="wait").as_dict() == {"code": "store_busy", "message": "held", "remedy": "wait"}
    assert CertificateError("bad").as_dict() == {"code": "bad_certificate", "message": "bad", "remedy": None}


def test_a_busy_store_is_a_store_error() -> None:
    assert issubclass(StoreBusy, StoreError) and issubclass(StoreError, TlsError)
