"""What users write type-checks, and what they may get wrong does not: with mypy (strict) and with pyright."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def expected(checkout: Path) -> set[tuple[str, int]]:
    lines = (checkout / "tests" / "typing" / "wrong.py").read_text().splitlines()
    return {("wrong.py", number) for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def run(checkout: Path, *command: object) -> str:
    files = [f"tests/typing/{name}.py" for name in ("right", "wrong")]
    return subprocess.run(
        [*map(str, command), *files], cwd=checkout, check=False, capture_output=True, text=True, timeout=600
    ).stdout


def test_mypy_finds_what_is_wrong_and_nothing_else(checkout):
    shown = run(checkout, BIN / "mypy", "--strict")

    found = {
        (name, int(line)) for name, line in re.findall(r"^tests/typing/(\w+\.py):(\d+): error:", shown, re.MULTILINE)
    }
    assert len(expected(checkout)) > 10
    assert found == expected(checkout), shown


def test_pyright_finds_what_is_wrong_and_nothing_else(checkout):
    shown = json.loads(run(checkout, BIN / "pyright", "--outputjson", "--pythonpath", sys.executable))

    found = {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in shown["generalDiagnostics"]}
    assert found == expected(checkout), shown["generalDiagnostics"]
