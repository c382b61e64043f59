"""``robonav report`` through the door, in process: what it writes, and one message with exit code 2 for what is no
exam.
"""

import json
from pathlib import Path

import pytest

from tests.conftest import Robonav
from tests.made_up_exam import made_up_exam


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exams") / "dwa"
    made_up_exam(20, ("dwa", "orca"), families=("standard",)).save(folder)
    return folder


def test_the_report_lies_in_the_folder_or_in_out(exam: Path, tmp_path: Path, robonav_here: Robonav) -> None:
    code, out, err = robonav_here("report", exam, "--out", tmp_path / "paper", "--json")
    assert code == 0
    assert "written: " in err
    written = {Path(path).name for path in json.loads(out)["written"]}
    assert {"report.pdf", "report.html", "summary.json", "episodes.parquet"} <= written
    assert (tmp_path / "paper" / "episodes.parquet").read_bytes() == (exam / "episodes.parquet").read_bytes()
    assert not (exam / "report.pdf").exists()


def test_mistakes_end_with_one_message_and_two(exam: Path, tmp_path: Path, robonav_here: Robonav) -> None:
    (tmp_path / "empty").mkdir()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "exam.json").write_bytes((exam / "exam.json").read_bytes())
    (damaged / "episodes.parquet").write_bytes(b"PAR1")
    (tmp_path / "file").write_text("")
    few = tmp_path / "few"
    made_up_exam(1, ("dwa", "orca"), families=("standard",)).save(few)
    for words, message in (
        ([tmp_path / "empty"], "exam.json"),
        ([damaged], "episodes.parquet"),
        ([exam, "--out", tmp_path / "file"], "--out"),
        (["s3://bucket/exam"], "DIR s3://bucket/exam"),
        ([few], "exam.json: scenarios.num_episodes: dwa and orca have 4 common episodes"),
    ):
        code, out, err = robonav_here("report", *words)
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.strip().splitlines()) == 1
