"""A league around a loop of one's own: draws, reports, snapshots, the best; saved, killed, damaged, resumed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from robonav_ray import SelfPlayLeague
from robonav_ray.config.league import LeagueConfig
from robonav_ray.errors import UserError
from robonav_ray.files import plain_files

ROOT = Path(__file__).parents[3]
CONFIG = {"snapshot_env_steps": 10, "capacity": 3, "promotion": {"num_worlds": 20}}


def weights(value: float, size: int = 3) -> dict[str, np.ndarray]:
    return {"w": np.full((size, 2), value, np.float32), "b": np.zeros(2, np.float32)}


def made(**options) -> SelfPlayLeague:
    return SelfPlayLeague(CONFIG, seed=3, scripted=["waits", "hurries"], members={"old": weights(9.0)}, **options)


def go_on(league: SelfPlayLeague, first: int, last: int) -> list[str]:
    """Play and learn from ``first`` to ``last``, a function of the step; return whom it met."""
    met = []
    for step in range(first, last):
        for opponent in league.next_opponents(4):
            met.append(opponent.id)
            league.report(opponent, np.random.default_rng([step, len(opponent.id)]).random(3))
        league.maybe_snapshot(step, weights(step))
    return met


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "league.md").read_text(encoding="utf-8")
    example, of_cases = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    known: dict = {}
    exec(compile(example, "league.md", "exec"), known)
    league, met = known["league"], np.zeros(3)
    for member in league.members[1:]:
        met[league._opponent(member, "").weights["move"][0]] += league.chances()[member.id]
    assert met / met.sum() == pytest.approx([1 / 3] * 3, abs=0.1)
    assert (tmp_path / "league.png").is_file()
    assert known["again"].payoff().members == known["league"].payoff().members
    exec(compile(of_cases, "league.md", "exec"), known)
    assert known["table"].solved.shape == (100,)


def test_opponents_are_drawn_by_kind_and_carry_weights_that_cannot_be_changed():
    league = made()
    assert {opponent.kind for opponent in league.next_opponents(40)} == {
        "current",
        "prioritised",
        "scripted",
        "verification",
    }
    league.maybe_snapshot(10, weights(1.0))
    met = league.next_opponents(200)
    by_id = {opponent.id: opponent for opponent in met}
    assert set(by_id) == {"main", "main-0000", "old", "waits", "hurries"}
    assert (by_id["main"].weights, by_id["waits"].weights) == (None, None)
    assert (by_id["main-0000"].weights["w"] == 1.0).all()
    assert by_id["old"].role == "seed"
    with pytest.raises(ValueError, match="read-only"):
        by_id["old"].weights["w"][0] = 0.0
    current = sum(opponent.kind == "current" for opponent in met)
    assert 50 <= current <= 90, ".35 of 200"


def test_snapshots_are_copies_taken_when_they_are_due():
    league, learned = made(), weights(1.0)
    assert league.maybe_snapshot(9, learned) is None
    member = league.maybe_snapshot(10, learned)
    learned["w"][:] = 7.0
    assert (member.id, member.step, member.parent) == ("main-0000", 10, None)
    assert (league.best().weights["w"] == 1.0).all()
    assert league.maybe_snapshot(19, learned) is None
    assert league.maybe_snapshot(25, learned).parent == "main-0000"
    assert [one.id for one in league.members][:1] == ["main"]
    assert len(league.lineage) == 6


def test_the_best_is_the_most_able_until_one_is_judged():
    league = made()
    assert league.best() is None
    for step, rate in ((10, 0.9), (20, 0.2), (30, 0.1)):
        league.report("old", np.random.default_rng(step).random(200) < rate)
        league.snapshot(step, weights(step))
    assert league.best().id == "main-0000"
    rng = np.random.default_rng(0)
    base = rng.random(60) < 0.3
    assert not league.judge("main-0001", {"own": (base, base)}).promoted
    assert league.judge("main-0001", {"own": (np.ones(60, bool), base)}).promoted
    assert league.best().id == "main-0001"
    with pytest.raises(UserError, match="num_worlds"):
        league.judge("main-0002", {"own": (base[:9], base[:9])})


def test_payoff_and_ratings_say_who_does_how_well_with_whom():
    league = SelfPlayLeague(CONFIG, scripted=["rock"], zero_sum=True)
    assert league.config.prioritise == "adversaries"
    league.report("rock", [1.0] * 30)
    table = league.payoff()
    i, j = table.members.index("main"), table.members.index("rock")
    assert table.score[i, j] > 0.9
    assert table.score[j, i] < 0.1, "what one gains the other loses"
    assert table.low[i, j] < table.score[i, j] < table.high[i, j]
    main, rock = league.ratings()
    assert main.ability > rock.ability
    assert league.ratings() == [main, rock]
    assert league.nash()["main"] > 0.9
    with pytest.raises(UserError, match="leave it out"):
        league.report("rock", 1.0, opponent_score=0.0)
    partners = SelfPlayLeague(CONFIG, scripted=["orca"])
    partners.report("orca", 1.0, opponent_score=0.0)
    assert partners.payoff().games.sum() == 2.0


def test_saved_and_loaded_it_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole, half = made(), made()
    met = go_on(whole, 0, 80)
    first = go_on(half, 0, 35)
    half.save(tmp_path / "a")
    again = made().load(tmp_path / "a")
    assert first + go_on(again, 35, 80) == met
    whole.save(tmp_path / "b"), again.save(tmp_path / "c")
    assert contents(tmp_path / "b") == contents(tmp_path / "c")
    assert len(contents(tmp_path / "b")) == 1 + len({one.sha256 for one in whole.members if one.sha256})


def test_killed_between_any_two_writes_the_folder_holds_the_one_or_the_other(tmp_path, monkeypatch):
    league = made()
    go_on(league, 0, 25)
    league.save(tmp_path)
    before = made().load(tmp_path).payoff()
    go_on(league, 25, 60)
    after = league.payoff()
    cuts = [survives for survives in range(9) if is_cut(league, tmp_path, survives, monkeypatch, before)]
    assert cuts == list(range(len(cuts)))
    assert len(cuts) > 1, "several writes were cut"
    assert made().load(tmp_path).payoff().score.tobytes() == after.score.tobytes()


def is_cut(league, folder, survives, monkeypatch, before) -> bool:
    """Save, and die after so many writes; whether there were more, and then the folder holds what it held."""
    left, replace = [survives], plain_files.replace

    def dies(path, content):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        replace(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(plain_files, "replace", dies)
        try:
            league.save(folder)
        except KeyboardInterrupt:
            found = made().load(folder)
            assert found.payoff().score.tobytes() == before.score.tobytes()
            assert not [event for event in found.events if event.event == "lost"]
            return True
    return False


def test_without_a_damaged_snapshot_it_goes_on_and_says_so(tmp_path, caplog):
    league = made()
    go_on(league, 0, 25)
    league.save(tmp_path)
    snapshots = {one.sha256: one.id for one in league.members if one.sha256}
    damaged, missing = sorted(snapshots)[:2]
    path = tmp_path / "snapshots" / f"{damaged}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (tmp_path / "snapshots" / f"{missing}.safetensors").unlink()
    found = made().load(tmp_path)
    lost = {event.member: event.detail for event in found.events if event.event == "lost"}
    assert set(lost) == {snapshots[damaged], snapshots[missing]}
    assert "damaged" in lost[snapshots[damaged]]
    assert f"{missing}.safetensors: is missing" in lost[snapshots[missing]]
    assert "goes on without" in caplog.text
    go_on(found, 25, 60)
    assert found.best() is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"league": {}}, "version"),
        ({"more": 1}, "no league"),
    ],
)
def test_a_file_that_is_none_of_a_league_is_refused_by_name(tmp_path, change, message):
    made().save(tmp_path)
    path = tmp_path / "league.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=rf"league\.json: .*{message}"):
        made().load(tmp_path)
    path.write_text("{")
    with pytest.raises(UserError, match=r"league\.json"):
        made().load(tmp_path)
    with pytest.raises(UserError, match=r"nowhere/league\.json: there is none"):
        made().load(tmp_path / "nowhere")


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match=r"SelfPlayLeague.*mix.*sum to 1\.65"):
        SelfPlayLeague({"mix": {"current": 1.0}})
    with pytest.raises(UserError, match=r"capacitee.*capacity"):
        SelfPlayLeague({"capacitee": 4})
    with pytest.raises(UserError, match=r"league\.members.*runs/a"):
        SelfPlayLeague({"members": ["runs/a"]})
    with pytest.raises(UserError, match=r"w is .*4, 2.*theirs.*3, 2.*observation"):
        SelfPlayLeague(CONFIG, members={"a": weights(1.0), "b": weights(1.0, size=4)})
    with pytest.raises(UserError, match="not used twice"):
        SelfPlayLeague(CONFIG, scripted=["main"])
    for wrong in ({"seed": -1}, {"scripted": "orca"}):
        with pytest.raises(UserError, match=r"seed .* and scripted"):
            SelfPlayLeague(CONFIG, **wrong)
    for wrong in ({"config": "quick"}, {"members": [1]}):
        with pytest.raises(UserError, match="must be a mapping"):
            SelfPlayLeague(**wrong)
    for wrong in ({"scripted": [None]}, {"learner": ""}):
        with pytest.raises(UserError, match="cannot be the id"):
            SelfPlayLeague(**wrong)
    league = made()
    with pytest.raises(UserError, match="whole number"):
        league.snapshot(5.5, weights(1.0))
    with pytest.raises(UserError, match="w holds numbers that are not finite"):
        league.snapshot(10, weights(float("nan")))
    for wrong in (1.5, -0.1, float("nan"), "good", [[0.5]]):
        with pytest.raises(UserError, match="from 0 to 1"):
            league.report("waits", wrong)
    with pytest.raises(UserError, match=r"'nobody' is no member.*waits"):
        league.report("nobody", 1.0)
    with pytest.raises(UserError, match="arrays by name"):
        league.maybe_snapshot(10, {})
    with pytest.raises(UserError, match="not of numbers"):
        league.maybe_snapshot(10, {**weights(0.0), "b": np.array(["x", "y"])})
    with pytest.raises(UserError, match="do not fit"):
        league.maybe_snapshot(10, weights(0.0, size=5))
    with pytest.raises(UserError, match="negative"):
        league.next_opponents(-1)
    assert league.payoff().games.sum() == 0.0, "nothing was taken"
    assert SelfPlayLeague(LeagueConfig(capacity=5)).config.capacity == 5


def test_the_picture_is_the_same_bytes_each_time(tmp_path):
    league = made()
    go_on(league, 0, 45)
    first = league.draw(tmp_path / "a.png", "a [name] $x$")
    assert first.read_bytes() == league.draw(tmp_path / "b.png", "a [name] $x$").read_bytes()
    for wrong, message in (("a.gif", "one of"), ("nowhere/a.png", "no folder")):
        with pytest.raises(UserError, match=message):
            league.draw(tmp_path / wrong)
