"""``tests/FAULTS.md`` says which test holds which fault: each row names one, and each one is there."""

from __future__ import annotations

import ast
import re
from functools import cache

from documentation import CHECKOUT

PAGE = CHECKOUT / "tests" / "FAULTS.md"
HEAD = "| seen | must be | tests |"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    """Return the cells of each fault."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and line != HEAD]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the names of the tests in a file, without importing it."""
    path = CHECKOUT / file
    if not path.is_file():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = (node.name for node in ast.parse(path.read_text()).body if isinstance(node, functions))
    return frozenset(name for name in names if name.startswith("test_"))


def test_every_fault_has_a_test():
    assert len(rows()) > 50
    assert [cells for cells in rows() if len(cells) != 3 or not all(cells)] == []
    assert [cells[0] for cells in rows() if re.sub(NAMED, "", cells[-1]).replace("<br>", "")] == []


def test_every_test_that_a_fault_names_is_there():
    named = NAMED.findall(PAGE.read_text())

    assert [f"{file}::{name}" for file, name in named if name not in names_in(file)] == []


def test_a_test_that_is_not_there_is_seen():
    here = "tests/docs/test_faults.py"

    assert "test_a_test_that_is_not_there_is_seen" in names_in(here)
    assert not {"rows", "test_that_nobody_wrote"} & names_in(here)
    assert not names_in("tests/docs/test_that_nobody_wrote.py")
