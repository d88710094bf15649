"""Local paths as files of a rollout: a report is proved to be writable by writing, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_supersim.exceptions import StorageError
from airflow_provider_supersim.runs.storage import Storage


@pytest.mark.parametrize("path", ["/sys/r.csv", "{folder}", "{folder}/file.txt/r.csv", "file://{folder}"])
def test_a_report_that_cannot_be_written_is_known_by_writing(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    (folder / "file.txt").touch()
    given = path.format(folder=folder)

    with pytest.raises(StorageError) as error:
        Storage("report_path", given).prove_writable()

    assert str(error.value).startswith(f"report_path {given} cannot be written (")
    assert str(error.value).splitlines()[0].endswith("[storage]")


def test_the_proof_makes_the_folder_and_leaves_it_empty(tmp_path: Path) -> None:
    Storage("report_path", f"{tmp_path}/a/b/report.csv").prove_writable()

    assert (tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_the_proof_keeps_an_earlier_report(tmp_path: Path) -> None:
    (tmp_path / "report.csv").write_text("of yesterday")
    Storage("report_path", f"{tmp_path}/report.csv").prove_writable()

    assert (tmp_path / "report.csv").read_text() == "of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("gs://bucket/r.csv", "apache-airflow-providers-google"),
        ("abfs://c/r.csv", "apache-airflow-providers-microsoft-azure"),
    ],
)
def test_a_storage_without_its_provider_names_the_package(path: str, package: str) -> None:
    with pytest.raises(ValueError, match=rf"report_path '{path}' cannot be used: .*install {package}"):
        Storage("report_path", path)
