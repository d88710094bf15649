"""How Sphinx builds the documentation: ``make docs``. No network is needed, and every warning is an error."""

from __future__ import annotations

import logging
import os
import tempfile
from datetime import UTC, datetime
from importlib import metadata

# The API reference imports the operators, and Airflow makes its home when it is first imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="supersim-docs-"))
logging.getLogger("airflow").setLevel(logging.WARNING)  # it logs how it was configured

project = "airflow-provider-supersim"
copyright = f"{datetime.now(UTC):%Y}, the authors of {project}"
version = release = metadata.version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
templates_path: list[str] = []

html_theme = "furo"
html_title = "Super SIM for Airflow"
html_static_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
python_maximum_signature_line_length = 88

# No page here: names of other projects, which Sphinx would look up in the network, and our inner parts.
nitpick_ignore_regex = [
    (r"py:.*", r"(airflow|aiohttp|anyio|asyncio|collections|concurrent|datetime|httpx|msgspec|pathlib|pendulum)\..*"),
    (r"py:.*", r"(Airflow\w+|BaseTrigger|BaseHook|BaseOperator|BaseSensorOperator|Context|OperatorLineage|DateTime)"),
    (r"py:.*", r"(None|str|int|float|bool|bytes|dict|list|tuple|Any|ValueError|RuntimeError|OSError)"),
    (r"py:.*", r"airflow_provider_supersim\.(api\.(auth|pace|requests|vendors)|hooks\.(blocking|connection))\b.*"),
    (r"py:class", r"(.*\.)?[A-Z]"),  # type variables
]
