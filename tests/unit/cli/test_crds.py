"""`gdso crds`: the definitions as text or as files."""

from pathlib import Path

import pytest
import yaml

from grafana_datasource_operator.cli import main

PLURALS = ["grafanadatasources", "grafanainstances"]


def test_definitions_are_printed_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crds"]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    names = sorted(document["metadata"]["name"] for document in documents)
    assert names == [f"{plural}.gdso.dev" for plural in PLURALS]


def test_definitions_are_written_as_files_and_a_second_time_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "deep" / "crds"
    for _ in range(2):
        assert main(["crds", "--output-dir", str(directory)]) == 0
        assert capsys.readouterr().out == ""
        files = sorted(directory.iterdir())
        assert [path.name for path in files] == [f"gdso.dev_{plural}.yaml" for plural in PLURALS]
    main(["crds"])
    printed = capsys.readouterr().out.split("---\n")
    assert sorted(printed) == sorted(path.read_text() for path in files)
