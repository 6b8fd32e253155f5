# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How hard a passphrase is to guess, roughly: enough to tell ``aaaaaaaaaaaa`` and ``Summer2026!!`` from one that was made. Pure."""

from __future__ import annotations

import re

# Guesses are slowed down by 2**20 or so (PBKDF2 with 600,000 rounds, scrypt); together that is out of reach.
FEWEST_BITS = 40.0
WORD_LETTERS = 4
BITS_OF_A_WORDS_LETTER = 2.5
BITS_OF_WHAT_FOLLOWS = 1.0
# Bits of one character that stands by itself.
CLASSES = ((str.isdigit, 3.3), (str.isalpha, 4.7), (str.isspace, 2.0))
BITS_OF_A_SIGN = 5.0
COMMON = re.compile(
    r"passphrase|password|passwort|secret|geheim|changeme|letmein|qwert[yz]|ansible|vault|admin", re.IGNORECASE
)


def is_weak(passphrase: str) -> bool:
    """Whether guessing it is within reach of whoever has the store."""
    return bits(passphrase) < FEWEST_BITS


def bits(passphrase: str) -> float:
    """How many bits a guesser has to try who knows words, repetitions and sequences; an upper bound for what people make up."""
    text = COMMON.sub("\0", shortest_unit(passphrase))
    words = {place for run in re.finditer(rf"[^\W\d_]{{{WORD_LETTERS},}}", text) for place in range(*run.span())}
    total, seen = 0.0, set[str]()
    for place, letter in enumerate(text):
        pair = text[max(place - 1, 0) : place + 1]
        follows = place > 0 and abs(ord(letter) - ord(text[place - 1])) <= 1
        if follows or (place > 0 and pair in seen):
            total += BITS_OF_WHAT_FOLLOWS
        elif place in words:
            total += BITS_OF_A_WORDS_LETTER
        else:
            total += next((value for belongs, value in CLASSES if belongs(letter)), BITS_OF_A_SIGN)
        seen.add(pair)
    return total


def shortest_unit(text: str) -> str:
    """What a text repeats, ``abab`` → ``ab``."""
    return text[: (text + text).find(text, 1)] if text else text
