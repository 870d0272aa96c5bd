"""Texts as numbers: words by the hashes of their letters, so that no list of words is needed and none is unknown.

A word is the mean of what is learned of its parts, as in fastText (arXiv 1607.04606, §3.2): the whole of it, and all
that three letters in a row make. Importing this loads nothing heavy.
"""

from __future__ import annotations

import re
import zlib

import numpy as np

WORDS = 16  #: of a text, those that are looked at
PARTS = 16  #: of a word
LETTERS = 3  #: of a part that is not the whole word
_WORD = re.compile(r"[^\W_]+|[^\w\s]")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, each run of letters and digits and each other mark one; WORDS at most."""
    return _WORD.findall(text.casefold())[:WORDS]


def parts_of(word: str) -> list[str]:
    """``<word>`` as a whole, then LETTERS in a row of it from the left, PARTS at most in all."""
    marked = f"<{word}>"
    runs = [marked[n : n + LETTERS] for n in range(len(marked) - LETTERS + 1)]
    return [marked, *(run for run in runs if run != marked)][:PARTS]


def numbers_of(text: str, buckets: int) -> np.ndarray:
    """int64 (WORDS, PARTS): of each part 1 + CRC-32 of its UTF-8, modulo ``buckets``; 0 where there is none."""
    out = np.zeros((WORDS, PARTS), np.int64)
    for n, word in enumerate(words_of(text)):
        found = [1 + zlib.crc32(part.encode()) % buckets for part in parts_of(word)]
        out[n, : len(found)] = found
    return out
