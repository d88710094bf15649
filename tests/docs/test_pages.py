"""The pages: nothing in them is typed in by hand, and the commands on them run."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from contextlib import closing

import pytest
from documentation import CHECKOUT, DOCS, EXAMPLES
from messages import PACKAGE

#: Allowed between fences: directives and samples of output.
DIRECTIVES = {"literalinclude", "include", "toctree", "figure", "image", "eval-rst", "text", "console"}
#: Pages whose code is tested elsewhere.
OTHERS = {"benchmarks.md", "scaling.md", "versions.md"}


def fences(page: str) -> list[tuple[str, str]]:
    """The words after each opening fence, and the lines up to the closing one."""
    return re.findall(r"^```\{?([\w-]*)\}?[^\n]*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_no_code_is_typed_in_by_hand(pages):
    typed = [
        (name, kind)
        for name, page in pages.items()
        if name not in OTHERS
        for kind, _ in fences(page)
        if kind not in DIRECTIVES
    ]

    assert typed == []


def test_commands_on_the_pages_are_targets_of_make(pages):
    targets = set(re.findall(r"^([a-z]+):.*##", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    commands = [
        line
        for page in pages.values()
        for kind, lines in fences(page)
        if kind == "console"
        for line in lines.splitlines()
    ]

    assert commands
    assert {re.fullmatch(r"\$ make ([a-z]+)", line)[1] for line in commands} <= targets


def test_every_part_of_an_example_is_shown(pages):
    """No page shows half an example, and there is no example that no page shows."""
    shown = set()
    for page in pages.values():
        for block in re.findall(r"^```\{literalinclude\} (.*?)^```", page, re.MULTILINE | re.DOTALL):
            file, _, options = block.partition("\n")
            begins, ends = (re.findall(rf'"\[{word} (\w+)\]"', options) for word in ("START", "END"))
            assert begins == ends, block
            shown |= {(file.rpartition("/")[2], name) for name in begins}
    marked = {
        (path.name, part)
        for path in EXAMPLES.iterdir()
        if path.is_file()
        for part in re.findall(r"\[START (\w+)\]", path.read_text())
    }

    assert shown == marked


def test_every_bucket_is_shown_with_its_connection(pages):
    """Without one, a storage takes half a minute to say in its own words that it has no credentials."""
    shown = {path for page in pages.values() for path in re.findall(r"\b(?:s3|gs|abfs)://[\w@.-]+", page)}

    assert shown
    assert {path for path in shown if not re.fullmatch(r"\w+://\w+@[\w-]+", path)} == set()


@pytest.mark.parametrize(
    "path",
    [*EXAMPLES.glob("*.py"), *(CHECKOUT / "dags_examples").glob("*.py"), CHECKOUT / "README.md"],
    ids=lambda path: path.name,
)
def test_every_deferrable_task_that_is_shown_has_retries(path):
    """Airflow fails a deferred task that resumes too soon, and the next try continues it."""
    text = path.read_text()
    sources = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if path.suffix == ".md" else [text]
    calls = [
        {keyword.arg for keyword in node.keywords}
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    ]
    assert [names for names in calls if "deferrable" in names and "retries" not in names] == []


def test_every_column_of_the_report_is_explained(pages):
    columns = (EXAMPLES / "report.csv").read_text().splitlines()[0].split(",")

    assert [name for name in columns if f"`{name}`" not in pages["rollouts.md"]] == []


def test_every_page_begins_with_a_title_and_a_sentence(pages):
    for name, page in pages.items():
        if name not in OTHERS | {"changelog.md"}:
            assert re.match(r"# [A-Z].*\n\n[A-Z]", page), name


@pytest.mark.parametrize(
    "target",
    [
        "what-is-promised",
        "sent-is-not-delivered",
        "how-it-works",
        "what-is-not-promised",
        "late-acceptance",
        "identical-commands",
        "two-names",
        "old-process",
        "changing-payload",
        "restart-sends-again",
        "hook-has-no-ledger",
        "what-you-must-do",
        "retries",
        "keep-the-ledger",
        "clear-on-success",
        "halted-is-not-retried",
    ],
)
def test_what_must_be_known_about_delivery_has_a_section(pages, target):
    assert re.search(rf"^\({target}\)=\n##+ \S", pages["delivery.md"], re.MULTILINE)


def part(file: str, name: str) -> list[str]:
    """The commands of a part of a shell example."""
    text = (EXAMPLES / file).read_text()
    body = text.partition(f"[START {name}]")[2].partition("# [END")[0]
    return [line for line in body.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("twilio", [("twilio", "https://supersim.twilio.com")]),
        ("kore", [("kore", "https://supersim.api.korewireless.com")]),
        ("uri", [("twilio", "https://supersim.twilio.com"), ("kore", "https://supersim.api.korewireless.com")]),
        ("simulator", [("twilio", "http://127.0.0.1:8025")]),
    ],
)
def test_connections_are_what_they_say(name, expected):
    from airflow.sdk import Connection

    from airflow_provider_supersim.hooks.connection import Account

    accounts = []
    for line in part("connection.sh", name):
        variable, _, value = shlex.split(line)[1].partition("=")
        assert variable == "AIRFLOW_CONN_SUPERSIM_DEFAULT"
        read = Connection.from_json if value.startswith("{") else Connection.from_uri
        connection = read(value, conn_id="supersim_default")
        accounts.append(Account.read(connection, connection.extra_dejson))

    assert [(account.vendor.name, account.base_url) for account in accounts] == expected


def test_connections_can_be_added_and_tested(supersim_simulator, migrated_db, tmp_path, monkeypatch):
    shutil.copy(migrated_db, tmp_path)
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{tmp_path / migrated_db.name}")
    for line in part("connection.sh", "cli"):
        added = run(line)
        assert "Successfully added" in added.stdout, added.stdout + added.stderr
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json())
    (command,) = part("connection.sh", "test")
    tested = run(command)
    assert "Connection success!" in tested.stdout, tested.stdout + tested.stderr


def run(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell, with this environment's programs."""
    line = re.sub(r"\bairflow (?=connections)", f"{shlex.quote(sys.executable)} -W ignore -m airflow ", line, count=1)
    return subprocess.run(["bash", "-c", line], check=False, capture_output=True, text=True, timeout=600)


def test_the_simulators_commands_do_what_they_say():
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (start,) = part("simulator.sh", "run")
    arguments = shlex.split(start.replace("8025", port))
    command = [sys.executable, "-m", "airflow_provider_supersim.simulator", *arguments[1:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as simulator:
        try:
            assert port in simulator.stdout.readline()
            said = {}
            for name in ("look", "device", "faults", "clock", "reset"):
                for line in part("simulator.sh", name):
                    done = run(line.replace("8025", port))
                    assert done.returncode == 0, line
                    assert '"error"' not in done.stdout, done.stdout
                    said[name] = done.stdout
        finally:
            simulator.terminate()
    assert '"network":"offline"' in said["device"].replace(" ", "")
    assert "drop_after" in said["faults"]


def test_the_quick_start_names_existing_extras_and_dags():
    (install,) = part("quick_start.sh", "install")
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (extra,) = re.findall(r"\[(\w+)\]", install)
    assert extra in extras
    assert part("quick_start.sh", "send")[0] == part("connection.sh", "simulator")[0]
    assert part("quick_start.sh", "send")[1].split()[-1] == "first_command"  # its DAG runs in test_examples.py
    assert part("quick_start.sh", "simulator") == ["supersim-simulator --port 8025"]
    assert part("quick_start.sh", "received")[0] in part("simulator.sh", "look")


def test_every_file_that_a_page_names_is_there(pages):
    for name, page in pages.items():
        for link in re.findall(r"\]\(([^)#\s]+)", page):
            if not link.startswith(("http", "mailto")) and link:
                assert (DOCS / link).exists(), f"{name}: {link}"


def test_every_target_that_a_page_links_to_is_there(pages):
    """Sphinx checks these too; GitHub, where the pages are read as well, does not."""
    targets = {
        name: {*re.findall(r"^\(([\w-]+)\)=$", page, re.MULTILINE), *slugs(page)} for name, page in pages.items()
    }
    for name, page in pages.items():
        for file, target in re.findall(r"\]\(([\w.]*)#([\w.-]+)\)", page):
            assert target in targets[file or name], f"{name}: {file}#{target}"


def slugs(page: str) -> set[str]:
    """What GitHub and MyST call the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_file_that_contributors_are_told_of_is_there():
    """A path in code is one of the checkout or of the package, such as ``delivery/state/states.py``."""
    page = (CHECKOUT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"`([\w./]+/[\w.]+\.\w+)`", page))

    assert paths
    assert [path for path in paths if not any((root / path).exists() for root in (CHECKOUT, PACKAGE))] == []


def test_nothing_names_a_page_that_is_not_in_the_repository():
    """Sources are cited by their public address: a reader has no other files than these."""
    rooms = ("airflow_provider_supersim", "dags_examples", "docs", "scripts", "tests")
    files = [
        path
        for path in (*CHECKOUT.glob("*"), *(path for room in rooms for path in (CHECKOUT / room).rglob("*")))
        if path.suffix in (".py", ".md", ".toml", ".sh") and "_build" not in path.parts
    ]
    named = {
        (str(path.relative_to(CHECKOUT)), page)
        for path in files
        for page in re.findall(r"\b[\w-]+\.md\b", path.read_text())
    }

    assert {(file, page) for file, page in named if page not in {path.name for path in files}} == set()
