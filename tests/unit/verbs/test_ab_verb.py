"""``robonav ab``: plays until it knows, goes on, writes its page, refuses and promotes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import robonav_ray
from robonav_ray.evaluation.ab.gate import Limits
from robonav_ray.evaluation.ab.paired_test import Decision, Rules
from robonav_ray.evaluation.ab.promotion import Contest
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.fronts.studies.ab_call import ask_ab
from robonav_ray.registry.registry import Registry
from robonav_ray.runtime.examination import here
from robonav_ray.runtime.watching import EvaluationStopped
from tests.ab_worlds import made_up_play
from tests.conftest import Robonav
from tests.two_models import models_in

SUITE = """name: tiny
num_episodes: 50
scenarios:
  - {name: easy, stage: basic_navigation}
sweeps:
  - {factors: [slip, range_noise], key: level.randomization.*, levels: [0, 2]}
"""
EASIER = """name: easier
num_episodes: 50
sweeps:
  - {factors: [actuator_gain], key: level.randomization.*, levels: [0, 1]}
"""
GOOD = {"old": (0.75, 0.20), "new": (0.90, 0.06)}
EQUAL = {"old": (0.80, 0.15), "new": (0.80, 0.15)}
ON_TINY = ("--suite", "tiny.yaml", "--area-worlds", "50", "--worlds", "1000", "--local")
WORDS = ("old=go_to_goal", "new=stop_and_go", *ON_TINY)


@pytest.fixture
def robonav(robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Robonav:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("ROBONAV_REGISTRY", str(tmp_path / "models"))
    (tmp_path / "tiny.yaml").write_text(SUITE)
    return lambda *words: robonav_here("ab", *words, "--processes", "1", cwd=tmp_path)


def test_it_stops_when_it_knows_and_goes_on_where_it_was(robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    played = list[str]()
    good = made_up_play(GOOD, played=played)

    def broken_off(*args):
        if len(played) == 3:
            raise EvaluationStopped
        return good(*args)

    monkeypatch.setattr(here, "play", broken_off)
    code, out, _ = robonav(*WORDS, "--out", "ab")
    assert (code, played) == (75, ["old", "new", "old"])
    assert "250 worlds: success +" in out
    assert "the same command goes on" in out

    monkeypatch.setattr(here, "play", good)
    code, out, err = robonav(*WORDS, "--out", "ab")
    assert (code, err) == (0, "")
    assert "new is better than old, and the gate is passed" in out
    found = json.loads((tmp_path / "ab/ab.json").read_text())
    assert found["decision"] == "better"
    assert [row["verdict"] for row in found["rows"]] == ["passed"] * 4
    assert found["num_worlds"] == 250 * len(found["looks"]) < found["num_planned"] == 1000
    assert found["rates"]["challenger"]["success"] > found["rates"]["champion"]["success"]
    num_paired = 2 * len(found["looks"])
    assert len(played) == num_paired + 6, "and three points of the sweeps, the clean one once, for each"
    page = (tmp_path / "ab/ab.html").read_text()
    for words in ("A/B test", "robustness area", "Waudby-Smith", "new is better than old"):
        assert words in page

    monkeypatch.setattr(here, "play", lambda *args: pytest.fail("all of it is there"))
    code, out, _ = robonav(*WORDS, "--out", "ab", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["looks"] == found["looks"]
    assert told["evidence_sha256"] == hashlib.sha256((tmp_path / "ab/ab.json").read_bytes()).hexdigest()


def test_one_that_is_no_better_is_refused_by_the_rows_and_more_worlds_go_on(robonav, monkeypatch, tmp_path: Path):
    played = list[str]()
    monkeypatch.setattr(here, "play", made_up_play(EQUAL, played=played))
    code, out, err = robonav(*WORDS, "--worlds", "500", "--out", "ab")
    assert code == 1
    assert "refused: success: " in err
    assert "robustness area: not asked" in out
    assert len(played) == 4
    robonav(*WORDS, "--worlds", "750", "--out", "ab")
    assert len(played) == 6
    code, _, err = robonav(*WORDS, "--promote")
    assert code == 2
    assert "robot_nav@champion" in err


def test_a_test_that_was_looked_at_keeps_its_rules(robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    equal, played = made_up_play(EQUAL), list[object]()

    def broken_off(*args):
        played.append(args)
        if len(played) == 2:
            raise EvaluationStopped
        return equal(*args)

    monkeypatch.setattr(here, "play", broken_off)
    assert robonav(*WORDS, "--out", "ab", "--alpha", "0.2")[0] == 75
    code, _, _ = robonav(*WORDS, "--worlds", "250", "--out", "ab")
    assert code == 1, "nothing was looked at by the first rules"
    (kept,) = (tmp_path / "ab/rules").iterdir()
    num_played = len(played)
    (tmp_path / "easier.yaml").write_text(EASIER)
    for words, meant in (
        (("--collision-margin", "0.05"), "--collision-margin 0.02"),
        (("--alpha", "0.2", "--least-gain", "0.02"), "--alpha 0.05 --least-gain 0.01"),
        (("--area-margin", "0.3"), "--area-margin 0.1"),
        (("--area-worlds", "60"), "--area-worlds 50"),
        (("--suite", "easier.yaml"), "the --suite whose sweeps it began with"),
    ):
        code, _, err = robonav(*WORDS, "--out", "ab", *words)
        assert code == 2
        assert f"ab/rules/{kept.name}: the test began by other rules" in err
        assert f"go on with {meant}, or" in " ".join(err.split())
    assert len(played) == num_played
    assert robonav(*WORDS, "--worlds", "500", "--out", "ab")[0] == 1
    assert len(played) == num_played + 2
    robonav(*WORDS, "--worlds", "250", "--out", "ab", "--alpha", "0.2", "--seed", "7")
    assert len(list(kept.parent.iterdir())) == 2
    began = json.loads(kept.read_text())
    older = {key: value for key, value in began.items() if key not in ("area_worlds", "area_sweeps")}
    kept.write_text(json.dumps(older))
    code, _, err = robonav(*WORDS, "--worlds", "500", "--out", "ab", "--area-worlds", "60")
    assert (code, "by other rules" in err) == (1, False), "it was begun before these were kept"
    assert json.loads(kept.read_text())["area_worlds"] == 60
    kept.write_text("{}")
    code, _, err = robonav(*WORDS, "--out", "ab")
    assert code == 2
    assert "does not hold the rules of a test" in err


def test_a_password_on_the_command_line_is_written_nowhere(robonav, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(here, "play", made_up_play(EQUAL))
    said = robonav(*WORDS, "--worlds", "250", "--out", "ab", "--address", "ray://me:canary@host:1")
    assert said.returncode == 1
    written = [path.read_bytes() for path in (tmp_path / "ab").rglob("*") if path.is_file()]
    assert any(b"ray://...@host:1" in data for data in written)
    assert not any(b"canary" in data for data in (*written, said.stdout.encode(), said.stderr.encode()))


def test_a_slow_one_is_refused_by_the_row_of_latency(robonav, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(here, "play", made_up_play(GOOD))
    code, _, err = robonav(*WORDS, "--latency-ms", "0.2")
    assert code == 1
    assert "refused: latency: p99 0.3 ms (champion 0.3 ms), over the limit of 0.2 ms" in err


def test_one_that_breaks_under_disturbances_is_refused_by_the_row_of_the_area(robonav, monkeypatch):
    good, bad = made_up_play(GOOD), made_up_play({"old": (0.80, 0.15), "new": (0.05, 0.9)})

    def fragile(entrant, seat, *rest):
        is_disturbed = seat.level.randomization.slip or seat.level.randomization.range_noise
        return (bad if is_disturbed else good)(entrant, seat, *rest)

    monkeypatch.setattr(here, "play", fragile)
    code, _, err = robonav(*WORDS)
    assert code == 1
    assert "refused: robustness area: 0." in err
    assert "over 2 disturbances of 50 worlds a level, not shown to be within the margin of 0.1" in err


@pytest.fixture
def models(tmp_path: Path) -> Registry:
    return models_in(tmp_path / "models")


def test_a_version_is_the_same_entrant_in_every_process(models: Registry):
    word = f"one={models.version('robot_nav', 1).location}"
    assert len({find_entrants([word], foreign=lambda *_: None)[0].fingerprint for _ in range(4)}) == 1


CONTEST = ("robot_nav@champion", "robot_nav@challenger", *ON_TINY)


def test_versions_by_names_of_the_users_own_are_a_contest(models: Registry):
    contest = Contest.of("old=robot_nav@champion", "new=robot_nav@2", lambda place: models)
    assert contest is not None
    assert (contest.champion.number, contest.challenger.number, contest.alias) == (1, 2, "champion")
    places = [models.version("robot_nav", number).location for number in (1, 2)]
    assert contest.words == (f"old={places[0]}", f"new={places[1]}")


def test_the_registry_that_is_named_holds_one_that_is_no_contest_too(models: Registry, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ROBONAV_REGISTRY", str(tmp_path / "another"))
    asked = partial(
        ask_ab, num_worlds=50, suites=["ab"], registry=models.location, seed=7, rules=Rules(), limits=Limits(),
        area_worlds=50, trust=False,
    )  # fmt: skip
    place = models.version("robot_nav", 1).location
    assert asked("robot_nav@champion", "orca").order.entrants == (f"robot_nav@1={place}", "orca")
    assert asked("go_to_goal", "old=robot_nav@1").order.entrants == ("go_to_goal", f"old={place}")
    act = ("mine", len)
    assert asked(act, "robot_nav@1").order.entrants == (act, f"robot_nav@1={place}")


def test_a_challenger_that_passes_is_promoted_with_its_evidence(robonav, models: Registry, monkeypatch, tmp_path: Path):
    rates = dict(zip(("robot_nav@1", "robot_nav@2"), GOOD.values(), strict=True))
    monkeypatch.setattr(here, "play", made_up_play(rates))
    code, out, err = robonav(*CONTEST, "--promote", "--out", "ab")
    assert (code, err) == (0, "")
    assert "promoted: robot_nav@champion is robot_nav@2 now" in out
    assert models.aliases("robot_nav")["champion"].version == 2
    noted, moved = models.journal("robot_nav")[-2:]
    assert (noted.kind, noted.facts["decision"], noted.facts["passed"]) == ("ab_test", "better", True)
    assert (moved.alias, moved.from_version, moved.to_version) == ("champion", 1, 2)
    evidence = (tmp_path / "ab/ab.json").read_bytes()
    for entry in (noted, moved):
        assert models.evidence("robot_nav", entry.evidence_sha256 or "") == evidence


def test_one_that_fails_is_not_promoted_and_the_journal_says_so(robonav, models: Registry, monkeypatch):
    rates = dict(zip(("robot_nav@1", "robot_nav@2"), EQUAL.values(), strict=True))
    monkeypatch.setattr(here, "play", made_up_play(rates))
    code, _, err = robonav(*CONTEST, "--promote", "--worlds", "250")
    assert code == 1
    assert "not promoted: success: " in err
    assert models.aliases("robot_nav")["champion"].version == 1
    noted = models.journal("robot_nav")[-1]
    assert robonav(*CONTEST, "--worlds", "250")[0] == 1
    assert models.journal("robot_nav")[-1] == noted, "the same finding stands there once"
    robonav(*CONTEST, "--worlds", "500")
    again = models.journal("robot_nav")[-1]
    assert (again.number, again.facts["num_worlds"]) == (noted.number + 1, 500)
    assert (noted.kind, noted.facts["passed"], noted.facts["failed"][0]) == ("ab_test", False, "success")


def test_a_champion_that_has_moved_meanwhile_is_not_moved_again(robonav, models: Registry, monkeypatch):
    good = made_up_play(dict(zip(("robot_nav@1", "robot_nav@2"), GOOD.values(), strict=True)))

    def meanwhile(*args):
        models.set_alias("robot_nav", "champion", 3, expected_generation=None)
        return good(*args)

    monkeypatch.setattr(here, "play", meanwhile)
    code, _, err = robonav(*CONTEST, "--promote")
    assert code == 2
    assert "robot_nav@champion: has moved meanwhile" in err
    assert models.aliases("robot_nav")["champion"].version == 3


MODELS = ("robot_nav@champion", "robot_nav@challenger")


def test_what_is_typed_wrong_is_named(robonav, models: Registry):
    for words, said in (
        (("robot_nav@champion", "robot_nav@latest-and-best"), "no such alias"),
        (("robot_nav@champion", "robot_nav@9"), "no such version"),
        (("robot_nav@champion", "other@champion"), "other"),
        (("robot_nav@1", "robot_nav@2", "--promote"), "names a version, and a promotion moves an alias"),
        (("orca", "no-such-run"), "no-such-run"),
        (("models/robot_nav/versions/[12]", "orca", "--local"), "has two entrants, and 3 are named"),
        ((*MODELS, "--worlds", "10"), "--worlds 10"),
        ((*MODELS, "--alpha", "0.9"), "alpha is 0.9"),
        ((*MODELS, "--suite", "worst_worlds"), "draw"),
        ((*MODELS, "--suite", "quik"), "quik"),
        ((*MODELS, "--out", "s3://bucket/ab"), "--out"),
        ((*MODELS, "--latency-ms", "0"), "--latency-ms 0: must be from"),
    ):
        code, _, err = robonav(*words)
        assert code == 2, words
        assert said in err
        assert err.count("\n") < 4
    assert len(models.journal("robot_nav")) == 5, "three versions, two aliases, and nothing else"


def test_functions_play_true_worlds_and_the_call_returns_what_was_found(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SUITE.replace("easy,", "easy, changes: {level.max_steps: 40},"))

    def stand(obs):
        return obs[:, 0].astype(int) * 0

    found = robonav_ray.ab({"a": stand}, {"b": stand}, suite="tiny.yaml", worlds=50, local=True, quiet=True, out="ab")
    assert isinstance(found, robonav_ray.AbResult)
    assert found.decision is Decision.NOT_YET
    assert not found.passed
    assert not found.promoted
    assert found.record.last.success.value == 0.0
    assert found.gate.reason.startswith("success: +0.00 points")
    assert found.path == Path("ab")


@pytest.mark.slow
def test_the_page_runs_as_written(tmp_path: Path):
    page = (Path(__file__).parents[3] / "docs/ab_testing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    lines = """
assert found.record.num_planned == 100 and found.decision in ("better", "not better yet", "futile")
assert bool(found.gate.reason) is not found.passed and (found.path / "ab.html").is_file()
assert split.arm_of("AMR-7", 4711) in ("champion", "challenger")
"""
    (tmp_path / "program.py").write_text("".join([*blocks, lines]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
