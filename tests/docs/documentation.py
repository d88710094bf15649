"""Where the documentation is."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
EXAMPLES = DOCS / "examples"
