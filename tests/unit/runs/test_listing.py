"""All runs below a folder: what each is, in the order in which they were started; what is odd is passed over."""

import json
from pathlib import Path

import pytest

from robonav_ray.errors import UserError
from robonav_ray.runs.listing import list_runs, run_facts
from tests.made_up_runs import TINY, make_run


def test_runs_are_listed_with_what_their_files_say(tmp_path: Path) -> None:
    make_run(tmp_path / "b", [*TINY, "seed=3"], success=0.75, steps=[10, 40], started="2026-11-23T10:00:00+0000")
    make_run(tmp_path / "a", status="unfinished", steps=[], started="2026-11-24T10:00:00+0100")
    make_run(tmp_path / "search" / "trials" / "00001", started="2026-11-22T10:00:00+0000")
    facts = list_runs(tmp_path)
    assert [(f.name, f.status, f.seed, f.steps, f.success) for f in facts] == [
        ("00001", "finished", 0, 200, None),
        ("b", "finished", 3, 40, 0.75),
        ("a", "unfinished", 0, 0, None),
    ]
    assert facts[1].path == tmp_path / "b"
    assert facts[1].started is not None
    assert json.loads(json.dumps(facts[1].to_dict()))["started"] == "2026-11-23T10:00:00+00:00"


def test_a_run_is_running_while_it_is_held_and_unfinished_when_its_process_is_gone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", status="running", steps=[])
    assert run_facts(run).status == "unfinished"
    with run.locked():
        assert run_facts(run).status == "running"


def test_links_are_not_followed_and_odd_neighbours_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = tmp_path / "runs"
    make_run(runs / "good", steps=[])
    make_run(tmp_path / "elsewhere" / "other", steps=[])
    (runs / "link").symlink_to(tmp_path / "elsewhere" / "other")
    (runs / "links").symlink_to(tmp_path / "elsewhere")
    odd = make_run(runs / "odd", steps=[])
    (odd.path / "status.json").unlink()
    (odd.path / "status.json").mkdir()
    assert [facts.name for facts in list_runs(runs)] == ["good"]
    assert "passed over" in caplog.text
    assert "status.json" in caplog.text
    with pytest.raises(UserError, match="no such folder"):
        list_runs(tmp_path / "nowhere")


def test_notes_that_are_none_of_ours_are_not_known(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=[])
    for file, text in (
        ("run.json", '{"sessions": 3}'),
        ("run.json", '{"sessions": [{"seed": "x", "started": "soon"}]}'),
        ("run.json", "[]"),
        ("summary.json", '{"env_steps": "many"}'),
        ("evaluation.json", '{"levels": [[]]}'),
        ("evaluation.json", '{"levels": [{"summary": {"success": {"frac": 7}}}]}'),
        ("evaluation.json", "{"),
    ):
        (run.path / file).write_text(text)
        facts = run_facts(run)
        assert facts.steps in (0, None)
        assert facts.success is None
