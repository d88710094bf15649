"""Shared by the tests of the documentation: its pages, and the built HTML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from documentation import CHECKOUT, DOCS


@pytest.fixture(scope="session")
def pages() -> dict[str, str]:
    """Return the text of each page by the name of its file."""
    return {page.name: page.read_text() for page in sorted(DOCS.glob("*.md"))}


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """Return the folder of the built documentation, made as ``make docs`` makes it."""
    (recipe,) = [line for line in (CHECKOUT / "Makefile").read_text().splitlines() if "-m sphinx" in line]
    _, _, options = recipe.partition("-m sphinx ")
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", *options.split()[:-1], str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
