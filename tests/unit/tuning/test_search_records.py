"""What a search writes down can be read back, also where a crash cut it off."""

import json

import pytest

from robonav_ray.tuning.search_records import Records, RecordsError, TrialFacts

REPORT = {
    "session": 1, "iteration": 1, "env_steps": 100, "learner_steps": 10, "seconds": 1.0, "stage": 0, "stage_name": "a",
    "passed": False, "success_frac": 0.5, "collision_frac": 0.1, "mean_return": 1.0, "objective": 0.5,
    "checkpoint": "env-000000000100",
}  # fmt: skip


def filled(directory) -> Records:
    records = Records(directory)
    assert records.begin_session() == 1
    for trial in ("00000", "00001"):
        records.add("trial", trial=trial, params={"learner.learning_rate": 1e-3})
        records.add("started", trial=trial)
        records.add("report", trial=trial, **REPORT)
    records.add("report", trial="00001", **{**REPORT, "iteration": 2, "env_steps": 200, "objective": 0.9})
    records.add("failure", trial="00000", message="it fell over")
    records.add("end", trial="00000", state="failed", reason="it fell over")
    return records


def test_what_was_written_is_read_back(tmp_path):
    first = filled(tmp_path)
    again = Records(tmp_path).history
    assert again == first.history
    assert again.best_trial is again.trials["00001"]
    assert [t.state for t in again.trials.values()] == ["failed", "running"]
    assert again.env_steps == 300
    assert not again.ended
    first.add("over")
    assert Records(tmp_path).history.ended
    assert Records(tmp_path).begin_session() == 2


def test_a_report_is_kept_once_with_the_seconds_of_all_lives(tmp_path):
    records = Records(tmp_path)
    records.begin_session()
    records.add("trial", trial="00000", params={})

    def facts(env_steps: int, life_s: float) -> TrialFacts:
        told = {name: value for name, value in REPORT.items() if name not in ("session", "iteration", "seconds")}
        return TrialFacts(**{**told, "env_steps": env_steps}, life_s=life_s, done=False)  # pyright: ignore[reportArgumentType]

    for env_steps, life_s in ((100, 5.0), (100, 5.0), (200, 9.0), (300, 2.0)):  # told twice; then a life of its own
        sent = facts(env_steps, life_s)
        result = {**sent.to_result(), "trial_id": "00000", "time_total_s": 1.0}
        assert TrialFacts.of_result(result) == sent
        records.add_report("00000", TrialFacts.of_result(result), session=1)
    kept = Records(tmp_path).history.trials["00000"].reports
    assert [(r.iteration, r.env_steps, r.seconds) for r in kept] == [(1, 100, 5.0), (2, 200, 9.0), (3, 300, 11.0)]
    with pytest.raises(KeyError, match="objective"):
        TrialFacts.of_result({name: value for name, value in result.items() if name != "objective"})


def test_an_exploit_changes_the_values_and_keeps_the_first(tmp_path):
    records = filled(tmp_path)
    params = {"learner.learning_rate": 2e-3}
    records.add("exploit", trial="00001", env_steps=200, objective=0.9, donor="00000", donor_objective=0.5,
                donor_checkpoint="c", params_before={"learner.learning_rate": 1e-3}, params=params)  # fmt: skip
    trial = Records(tmp_path).history.trials["00001"]
    assert (trial.params, trial.first_params) == (params, {"learner.learning_rate": 1e-3})
    assert trial.exploits[0].donor == "00000"


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_last_line_that_was_cut_off_is_left_away_and_written_over(tmp_path, cut):
    records = filled(tmp_path)
    whole = records.path.read_bytes()
    records.add("over")
    records.path.write_bytes(records.path.read_bytes()[:-cut] if cut < 18 else whole + b'{"event": "rep')
    again = Records(tmp_path)
    assert not again.history.ended
    again.begin_session()
    lines = records.path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines][-2:] == ["end", "session"]


def test_a_damaged_line_in_the_middle_is_said(tmp_path):
    records = filled(tmp_path)
    lines = records.path.read_bytes().splitlines(keepends=True)
    records.path.write_bytes(b"".join([lines[0], b"{nonsense}\n", *lines[2:]]))
    with pytest.raises(RecordsError, match=r"records\.jsonl:2: is damaged"):
        Records(tmp_path)


def test_numbers_that_are_not_finite_are_refused_not_written(tmp_path):
    records = filled(tmp_path)
    before = records.path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        records.add("report", trial="00001", **{**REPORT, "objective": float("nan")})
    assert records.path.read_bytes() == before
