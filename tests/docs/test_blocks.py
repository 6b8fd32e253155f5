# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a page is taken apart, and when an output is what the page shows."""

from __future__ import annotations

import pytest

from docs.blocks import BlockError, Command, Continued, blocks, continues, differences

PAGE = """\
<!-- continues: one-way-tls.md -->
Text with `code`.

1. A list:

   ```yaml
   # group_vars/web.yml
   a: [1]
   ```

```console fails
$ ansible all -m ping \\
    -e a=1
…
web1 | SUCCESS
$ false
```

```yaml
# add to inventory.yml
web: {}
```

```hcl
path "x" {}
```
"""


def test_a_page_in_blocks() -> None:
    first, console, added, policy = blocks("docs/a.md", PAGE)
    assert (first.file, first.added, first.text, first.where) == (
        "group_vars/web.yml",
        False,
        "# group_vars/web.yml\na: [1]\n",
        "docs/a.md:7",
    )
    assert console.fails and console.file is None
    assert console.commands() == (
        Command("ansible all -m ping \\\n    -e a=1", ("…", "web1 | SUCCESS")),
        Command("false", ()),
    )
    assert added.file == "inventory.yml" and added.added
    assert policy.file is None and policy.language == "hcl"
    assert continues(PAGE) == Continued("one-way-tls.md", False)
    assert continues("<!-- continues: ../a.md, at the end -->\n") == Continued("../a.md", True)
    assert continues("# A page\n") is None


@pytest.mark.parametrize("page", ["```yaml\na: 1\n", "```console\nno prompt\n```\n"])
def test_a_page_that_cannot_be_understood(page: str) -> None:
    with pytest.raises(BlockError, match=r"a\.md:"):
        [block.commands() for block in blocks("a.md", page)]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        (("one two", "…", "three: …"), []),
        (("three: 4", "one  two"), ["one  two"]),
        (("three",), ["three"]),
        (("nothing",), ["nothing"]),
    ],
)
def test_what_a_page_shows_is_what_is_said(shown: tuple[str, ...], missing: list[str]) -> None:
    assert differences(shown, "zero\n  one   two\nthree: 4\n") == missing
