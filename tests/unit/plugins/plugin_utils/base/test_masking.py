# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.masking import masked, secret_variables
from ansible_collections.fleet.tls.plugins.plugin_utils.base.programs import WORDS_KEPT, ProgramError, run_program
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store

TOKEN = "s.4fXaP9qLr2mZ81tKw7Yb"
KEY = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, text=True, check=True).stdout
LINE = KEY.splitlines()[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"my token is {TOKEN}", "my token is ***"),
        (f"{TOKEN}{TOKEN} twice", "*** twice"),
        (f"it begins with {TOKEN[:10]}…", "it begins with ***…"),
        (f"…{TOKEN[-9:]} is its end", "…*** is its end"),
        (f"wrapped {TOKEN[:11]} {TOKEN[11:]}", "wrapped *** ***"),
        (f"one line of it: {LINE}", "one line of it: ***"),
        (f"half a line of it: {LINE[20:40]}!", "half a line of it: ***!"),
        ("all of it: " + " ".join(KEY.split("\n")), "all of it: *** *** ***"),
        ("PIN 4711, room 471", "PIN ***, room 471"),
        ("nothing of it", "nothing of it"),
    ],
    ids=(
        "whole",
        "twice",
        "its beginning",
        "its end",
        "wrapped",
        "a line",
        "half a line",
        "all lines",
        "short",
        "nothing",
    ),
)
def test_whole_by_lines_and_cut(text: str, told: str) -> None:
    assert masked(text, [TOKEN, KEY, "4711", "abc", ""]).strip() == told


def test_variables_whose_names_say_that_they_are_secrets() -> None:
    secret = {"BAO_TOKEN": "a", "HSM_PIN": "b", "pin": "c", "PIN_OF_ROOT": "d", "DB_PASSWORD": "e"}
    assert list(secret_variables({**secret, "SPINNER": "f", "PINENTRY": "g", "HOME": "h"})) == list(secret.values())


def blurting(*arguments: str, limit: float = 60.0, **environment: str) -> str:
    """What is told of a program that says what these Python expressions are, and then fails or sleeps."""
    code = f"import os, sys, time; print({', '.join(arguments)}, file=sys.stderr, flush=True); {{}}"
    end = "time.sleep(300)" if limit < 10 else "sys.exit(3)"
    command, secrets = [sys.executable, "-c", code.format(end)], environment.values()
    try:
        return run_program(command, b"", {**os.environ, **environment}, limit, secrets).words
    except ProgramError as error:
        return error.message


@pytest.mark.parametrize("limit", [60.0, 3.0])
def test_the_words_of_a_program(limit: float) -> None:
    assert "the key: ***" in blurting("'the key:', os.environ['CA_KEY']", limit=limit, CA_KEY=KEY)
    # Cut by us: what is left of the secret at the edge is no secret that could be found there any more.
    words = blurting("os.environ['LONG'] + 'x' * 100", limit=limit, LONG=TOKEN * 40)
    assert not any(TOKEN[start : start + 8] in words for start in range(len(TOKEN) - 7)) and len(words) < WORDS_KEPT


def test_variables_that_say_that_they_are_secrets() -> None:
    ended = run_program(
        [sys.executable, "-c", "import os, sys; sys.exit(os.environ['DNS_API_TOKEN'] + os.environ['ZONE'])"],
        b"",
        {**os.environ, "DNS_API_TOKEN": TOKEN, "ZONE": ".example.com"},
        60.0,
    )
    assert ended.words == "***.example.com"


STORE = {"path": "/nowhere/at/all"}
SERVER = {"type": "openbao", "url": "https://bao.example.com", "auth": {"method": "token", "token": "x"}}
BAO = {**SERVER, "role": "web"}


@pytest.mark.parametrize(
    "raw",
    [
        {"path": TOKEN},
        {"path": f"relative/{TOKEN}"},
        {"type": TOKEN, **STORE},
        TOKEN,
        {**SERVER, "url": TOKEN},
        {"type": "openbao", "url": f"https://{TOKEN}:{TOKEN}@bao", "auth": {}},
        {"type": "openbao", "url": f"http://{TOKEN}.example.com", "auth": {}},
        {"type": "openbao", "url": "https://bao", "auth": TOKEN},
        {"type": "openbao", "url": "https://bao", "auth": {"method": f"{TOKEN}/{TOKEN}"}},
        {"type": "openbao", "url": "https://bao", "auth": {"token": "x"}, "mount": f"{TOKEN} {TOKEN}"},
        {"type": "openbao", "url": "https://bao", "auth": {"token": "x"}, "timeout": TOKEN},
        {"type": "openbao", "url": "https://bao", "auth": {"token": "x"}, "ca_certificate": TOKEN},
    ],
)
def test_a_secret_in_the_wrong_place_of_a_store_is_not_told(raw: object) -> None:
    with pytest.raises(SpecError) as caught:
        load_store(raw)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"type": f"{TOKEN}=="},
        TOKEN,
        {**BAO, "mount": f"{TOKEN} x"},
        {**BAO, "url": TOKEN},
        {**BAO, "root": TOKEN},
        {"type": "fetch", "certificate": TOKEN, "anchors": "/x"},
        {"type": "fetch", "certificate": "/x", "anchors": TOKEN},
        {"type": "command", "command": TOKEN, "anchors": "/x"},
        {"type": "command", "command": ["/bin/true"], "anchors": "/x", "environment": TOKEN},
        {"type": "command", "command": ["/bin/true"], "anchors": "/x", "timeout": TOKEN},
        {"type": "command", "command": ["/bin/true"], "anchors": "/x", "environment": {f"{TOKEN}=x": "y"}},
        {"type": "command", "command": [f"relative/{TOKEN}"], "anchors": "/x"},
        {"type": "acme", "directory_url": TOKEN},
        {"type": "ca", "duration": TOKEN},
        {"type": "ca", "key_algorithm": f"{TOKEN}{TOKEN}"},
        {"type": "ca", "common_name": TOKEN * 3},
    ],
)
def test_a_secret_in_the_wrong_place_of_an_issuer_is_not_told(options: object) -> None:
    with pytest.raises(SpecError) as caught:
        load_issuers({"mine": options}, load_store(STORE))
    assert TOKEN not in str(caught.value)
