"""The pages are in plain English, as far as it can be measured: short sentences and today's words."""

from __future__ import annotations

import re

import pytest
from documentation import CHECKOUT, DOCS
from sentences import length, sentences

LONG = 25  # words
#: A page that is generated, one that only includes another, and two that are still to be rewritten.
OTHERS = {"benchmarks.md", "changelog.md"}
PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(page for page in sorted(DOCS.glob("*.md")) if page.name not in OTHERS),
]
ODD = re.compile(r", where (?:it|this|that)\b|\b(?:for want of|anew|nobody|would else|mends?)\b", re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sentences_are_short(page):
    prose = sentences(page.read_text())
    long = [sentence for sentence in prose if length(sentence) > LONG]

    assert prose
    assert len(long) <= len(prose) / 10, long
    assert sum(map(length, prose)) <= 18 * len(prose)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_words_are_those_of_today(page):
    assert [sentence for sentence in sentences(page.read_text()) if ODD.search(sentence)] == []


def test_sentences_are_measured_as_people_read_them():
    page = """# A heading is not counted

(a-target)=
One sentence. And `device_port=4000`, then [a link](https://example.com/with.dots.in.it)
over two lines! (A third?)

| a table | is not prose. It is not counted |
|---|---|

```text
Nor is code. Not a word of it.
```

1. An item without a full stop
2. Two sentences here. **The second** has five words.

`term`
: A definition counts.
"""

    assert [length(sentence) for sentence in sentences(page)] == [2, 8, 2, 6, 3, 5, 3]
