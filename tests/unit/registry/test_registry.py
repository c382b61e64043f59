"""Versions that never change, aliases that move by compare-and-swap, a journal of it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import robonav_ray as rn
from robonav_ray.files import place_lock
from robonav_ray.files.manifest import MANIFEST, FileEntry, manifest_bytes
from robonav_ray.fronts.models.registry_call import registry as open_registry
from robonav_ray.registry.by_name import default_place, located
from robonav_ray.registry.difference import difference
from robonav_ray.registry.journal import ADDED, MAX_REASON, MOVED, ROLLED_BACK, Alias, Journal, JournalEntry
from robonav_ray.registry.names import RegistryError, model_named
from robonav_ray.registry.registry import MovedMeanwhileError, Registry, _stood_at
from robonav_ray.registry.verifying import verify
from robonav_ray.registry.versions import Version
from robonav_ray.runs import stored_models
from robonav_ray.runs.checkpoint import CheckpointError
from robonav_ray.runs.located import located as located_run
from robonav_ray.runs.policies import read_policy
from tests.made_up_runs import make_run


def test_a_version_holds_the_policy_and_where_it_is_from(made: Path, registry: Registry) -> None:
    version = registry.version("robot_nav", "champion")
    assert (version.number, version.ref) == (1, "robot_nav@1")
    facts = version.provenance
    assert (facts["run"], facts["checkpoint"], facts["which"]) == ("first", "env-000000000200", "last")
    assert (facts["env_steps"], facts["learner_steps"], facts["seed"]) == (200, 20, 0)
    assert sorted(path.name for path in Path(version.location).iterdir()) == [
        "config.yaml", "evaluation.json", MANIFEST, "provenance.json", "weights.safetensors",
    ]  # fmt: skip
    with located_run(made / "first") as run, located_run(version.location) as model:
        ours, theirs = (read_policy(one.checkpoint, "averaged") for one in (run, model))
        assert (model.run.name, model.checkpoint.counters) == ("robot_nav@1", run.checkpoint.counters)
        assert version.config == model.run.config == run.run.config
    assert dict(zip(ours.names, map(bytes, ours.arrays), strict=True)) == dict(
        zip(theirs.names, map(bytes, theirs.arrays), strict=True)
    )
    assert ours.version == theirs.version


def test_the_same_policy_is_no_new_version_wherever_it_comes_from(made: Path, registry: Registry) -> None:
    copy = shutil.copytree(made / "first", Path(registry.location).parent / "copy-of-first")
    before = registry.journal("robot_nav")
    again = [registry.add(run, "robot_nav") for run in (made / "first", copy, copy / "checkpoints/env-000000000200")]
    assert [version.number for version in again] == [1, 1, 1]
    assert registry.journal("robot_nav") == before
    other = registry.add(copy / "checkpoints/env-000000000100", "robot_nav")
    assert (other.number, other.provenance["which"]) == (3, "named")
    moved = registry.add(other.location, "elsewhere")  # under another name
    assert (moved.ref, moved.content_id) == ("elsewhere@1", other.content_id)
    assert moved.provenance["run"] == "copy-of-first"


def test_the_best_checkpoint_is_taken_and_its_judgement_and_evaluation_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "judged")
    judged = {
        "checkpoint": "env-000000000100", "env_steps": 100, "learner_steps": 10, "train_s": 1.0, "stage": 0,
        "is_last_stage": True, "stages": ["only"], "num_episodes": 10, "success_frac": 0.5, "success_low_frac": 0.2,
        "success_high_frac": 0.8, "collision_frac": 0.1, "return_mean": 3.0,
    }  # fmt: skip
    run.write_json("checkpoints.json", {"format_version": 1, "judgements": [judged], "numbered": []})
    (run.path / "evaluations" / "1").mkdir(parents=True)
    mine = {"env_steps": 100, "policy_version": 1, "levels": [{"level": "only", "summary": {"success": {"frac": 0.4}}}]}
    run.write_json("evaluations/1/evaluation.json", mine)
    run.write_json("evaluation.json", {**mine, "env_steps": 200})
    registry = Registry(tmp_path / "models")
    best, last = registry.add(run.path, "m"), registry.add(run.path, "m", checkpoint="last")
    assert (best.provenance["checkpoint"], best.provenance["which"]) == ("env-000000000100", "best")
    assert dict(best.evaluation) == {"judgement": judged, "report": mine}
    assert (last.provenance["checkpoint"], last.evaluation["judgement"]) == ("env-000000000200", None)
    assert last.evaluation["report"]["env_steps"] == 200
    found = {(one.part, one.key): (one.a, one.b) for one in difference(best, last)}
    assert found["origin", "which"] == ("best", "last")
    assert found["evaluation", "judgement success_frac"] == (0.5, None)
    assert any(part == "weights" for part, _ in found)
    assert difference(best, best) == []


def test_an_alias_moves_only_from_the_generation_that_was_seen(registry: Registry) -> None:
    assert registry.aliases("robot_nav") == {"champion": Alias(1, 1), "challenger": Alias(2, 1)}
    entry = registry.set_alias("robot_nav", "champion", 2, expected_generation=1, reason="it won", evidence=b"the page")
    assert entry is not None
    assert (entry.kind, entry.alias, entry.from_version, entry.to_version) == (MOVED, "champion", 1, 2)
    assert registry.aliases("robot_nav")["champion"] == Alias(2, 2)
    assert registry.evidence("robot_nav", entry.evidence_sha256 or "") == b"the page"
    with pytest.raises(MovedMeanwhileError, match=r"generation 2, not 1\) and stands at version 2; nothing"):
        registry.set_alias("robot_nav", "champion", 1, expected_generation=1)
    with pytest.raises(MovedMeanwhileError, match="is not there"):
        registry.set_alias("robot_nav", "staging", 1, expected_generation=3)
    assert registry.set_alias("robot_nav", "champion", 2, expected_generation=2) is None  # it stands there
    assert registry.set_alias("robot_nav", "staging", 1, expected_generation=0) is not None
    assert [e.number for e in registry.journal("robot_nav")] == [1, 2, 3, 4, 5, 6]
    assert verify(registry, "robot_nav").problems == []


def test_rolling_back_twice_goes_back_by_two_moves(made: Path, registry: Registry) -> None:
    third = registry.add(made / "third", "robot_nav").number
    with pytest.raises(RegistryError, match="never stood elsewhere"):
        registry.rollback("robot_nav")
    registry.promote("robot_nav", reason="2")
    registry.promote("robot_nav", third)
    with pytest.raises(MovedMeanwhileError):
        registry.rollback("robot_nav", expected_generation=1)
    assert [registry.rollback("robot_nav").to_version, registry.rollback("robot_nav").to_version] == [2, 1]
    with pytest.raises(RegistryError, match="never stood elsewhere"):
        registry.rollback("robot_nav")
    assert [e.kind for e in registry.journal("robot_nav")][-4:] == [MOVED, MOVED, ROLLED_BACK, ROLLED_BACK]


def test_a_journal_that_goes_back_further_than_any_move_is_read() -> None:
    alone = JournalEntry(1, ROLLED_BACK, "", "", "", alias="champion")
    moved = JournalEntry(2, MOVED, "", "", "", alias="champion", from_version=1, to_version=2)
    assert _stood_at([alone, moved, alone], "champion") == []


def test_others_note_what_they_found_and_aliases_stay(registry: Registry) -> None:
    before = registry.aliases("robot_nav")
    entry = registry.note(
        "robot_nav", "ab_test", "refused: collisions", facts={"p": 0.3, "rows": ["collisions"]}, evidence=b"page"
    )
    assert registry.journal("robot_nav")[-1] == entry
    assert (entry.kind, dict(entry.facts)) == ("ab_test", {"p": 0.3, "rows": ["collisions"]})
    assert registry.aliases("robot_nav") == before
    for kind in (MOVED, ADDED, "no word", "", "A"):
        with pytest.raises(RegistryError, match="word"):
            registry.note("robot_nav", kind, "x")
    with pytest.raises(RegistryError, match="JSON"):
        registry.note("robot_nav", "ab_test", "x", facts={"p": float("nan")})
    with pytest.raises(RegistryError, match="JSON"):
        registry.note("robot_nav", "ab_test", "x", facts={"p": np.float32(1)})
    with pytest.raises(RegistryError, match="4000000 at most are read"):
        registry.note("robot_nav", "ab_test", "x", facts={"p": "x" * 4_000_000})
    assert registry.journal("robot_nav")[-1] == entry


class HeardMirror:
    name = "heard"

    def __init__(self, fails: bool) -> None:
        self.fails, self.heard = fails, list[tuple[str, ...]]()

    def version_added(self, version: Version) -> None:
        self.heard.append(("added", version.ref))
        self._fail()

    def alias_moved(self, name: str, alias: str, version: Version, entry: JournalEntry) -> None:
        self.heard.append(("moved", name, alias, version.ref, str(entry.from_version)))
        self._fail()

    def _fail(self) -> None:
        if self.fails:
            raise OSError("no answer")


def test_mirrors_hear_of_each_change_and_ours_stands_when_they_fail(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirrors = [HeardMirror(fails=True), HeardMirror(fails=False)]
    registry = Registry(tmp_path / "models", lambda version: mirrors)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            registry.add(made / "first", "m", alias="champion")
    expected = [("added", "m@1"), ("moved", "m", "champion", "m@1", "None")]
    assert [mirror.heard for mirror in mirrors] == [expected, expected]
    assert "m@1: heard has not heard of it (no answer)" in caplog.text
    assert "`robonav registry sync m` tells it again" in caplog.text
    assert registry.aliases("m") == {"champion": Alias(1, 1)}


def test_a_mirror_that_missed_changes_is_told_of_all_versions_and_of_where_aliases_stand(
    made: Path, tmp_path: Path
) -> None:
    mirrors = [HeardMirror(fails=True)]
    registry = Registry(tmp_path / "models", lambda version: mirrors)
    registry.add(made / "first", "m", alias="champion")
    registry.add(made / "second", "m", alias="challenger")
    registry.promote("m", reason="it won")
    before = registry.journal("m")
    assert [one.failure for one in registry.sync("m")] == ["no answer"] * 4
    mirrors[:] = [HeardMirror(fails=False)]
    assert [(one.ref, one.mirror, one.failure) for one in registry.sync("m")] == [
        ("m@1", "heard", None), ("m@2", "heard", None), ("m@2", "heard", None), ("m@2", "heard", None),
    ]  # fmt: skip
    assert mirrors[0].heard == [
        ("added", "m@1"), ("added", "m@2"),
        ("moved", "m", "challenger", "m@2", "None"), ("moved", "m", "champion", "m@2", "1"),
    ]  # fmt: skip
    assert registry.journal("m") == before

    def none_opens(version: Version) -> list[HeardMirror]:
        raise OSError("no key")

    assert {(one.mirror, one.failure) for one in Registry(registry.location, none_opens).sync("m")} == {
        (None, "no key")
    }


def test_a_writer_that_died_before_the_journal_is_made_good(registry: Registry, made: Path) -> None:
    """A version is whole with its manifest; the entry of the journal comes after it."""
    folder = Path(registry.location) / "robot_nav"
    shutil.copytree(folder / "versions" / "2", folder / "versions" / "7")  # stands for one that was just written
    (folder / "versions" / "8").mkdir()  # and one that was not finished
    (folder / "versions" / "8" / "weights.safetensors").write_bytes(b"half")
    assert registry.version_numbers("robot_nav") == [1, 2, 7]
    assert registry.add(made / "third", "robot_nav").number == 8
    journal = registry.journal("robot_nav")
    assert [(e.kind, e.to_version) for e in journal[-2:]] == [(ADDED, 7), (ADDED, 8)]
    assert journal[-2].reason == "found whole; its writer had ended"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("robot_nav@champoin", "did you mean 'champion'"),
        ("robot_nav@9", "there is no such version; there are 1, 2"),
        ("robot_nva@champion", "did you mean 'robot_nav'"),
        ("robot_nav@", "write NAME@ALIAS"),
        ("robot_nav@a@b", "is no name of an alias"),
        ("robot_nav@latest", "is no name of an alias"),
        ("robot:nav@champion", "without slashes, colons or spaces"),
        ("robot nav@champion", "is no name of a model"),
        ("r" * 300 + "@champion", "is no name of a model"),
        ("../robot_nav@champion", "there is no such model"),
        ("nowhere/..@champion", "is no name of a model"),
    ],
)
def test_what_is_no_model_is_refused_by_name(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, word: str, message: str
) -> None:
    monkeypatch.setenv("ROBONAV_REGISTRY", registry.location)
    monkeypatch.chdir(registry.location)
    with pytest.raises(RegistryError, match=message), located(word):
        pass


def test_names_of_models_are_told_from_paths_uris_and_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("runs/first", "orca", "mine.policies:act", "abfs://container@account", "abfs://c@account/runs/first"):
        assert model_named(word) is None, word
    found = [model_named(word) for word in ("m@champion", "s3:/lab/models/m@3", "abfs://c@account/models/m@3")]
    assert [(one.place, one.name, one.ref) for one in found if one] == [
        (None, "m", "champion"), ("s3://lab/models", "m", "3"), ("abfs://c@account/models", "m", "3"),
    ]  # fmt: skip
    (tmp_path / "run@home").mkdir()
    assert model_named("run@home") is None
    monkeypatch.delenv("ROBONAV_REGISTRY", raising=False)
    assert default_place() == "runs/models"


@pytest.mark.parametrize("name", ["a/b", "a:b", "", "..", ".hidden", "a b", "x" * 65, "a\n", "ä", "-a"])
def test_no_model_gets_a_name_that_is_none(made: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(RegistryError, match="is no name of a model"):
        Registry(tmp_path / "models").add(made / "first", name)
    assert not (tmp_path / "models").exists()


def test_a_version_that_could_not_be_read_again_is_not_written(
    registry: Registry, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = "x" * MAX_REASON
    added = registry.add(made / "third", "robot_nav", reason=longest)
    assert registry.version("robot_nav", added.number).provenance["reason"] == longest
    before = registry.journal("robot_nav")
    monkeypatch.setattr(stored_models, "MAX_TEXT", 100)
    with pytest.raises(RegistryError, match=r"elsewhere@1: provenance\.json: reason: is no text"):
        registry.add(made / "third", "elsewhere", reason=longest)
    monkeypatch.undo()
    assert registry.journal("robot_nav") == before
    assert registry.names() == ["robot_nav"]
    assert registry.add(made / "third", "elsewhere").number == 1


def test_a_damaged_version_is_refused_by_name_and_never_promoted(registry: Registry) -> None:
    weights = Path(registry.version("robot_nav", 2).location) / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(RegistryError, match=r"robot_nav@2: .*weights\.safetensors: does not match its hash"):
        registry.promote("robot_nav", "challenger")
    with pytest.raises(CheckpointError, match="does not match its hash"), located_run(str(weights.parent)):
        pass
    assert registry.aliases("robot_nav")["champion"] == Alias(1, 1)
    assert [problem[:12] for problem in verify(registry, "robot_nav").problems] == ["robot_nav@2:"]


@pytest.mark.parametrize(("name", "num_bytes"), [("config.yaml", 64_000_001), ("weights.safetensors", (1 << 32) + 1)])
def test_a_manifest_that_tells_of_files_beyond_any_bound_is_refused(
    registry: Registry, name: str, num_bytes: int
) -> None:
    manifest = stored_models.read_manifest(registry.version("robot_nav", 1).location)
    files = [FileEntry(name, num_bytes, one.sha256) if one.name == name else one for one in manifest.files.values()]
    data = manifest_bytes({"format_version": 1, "content_id": manifest.content_id}, files, {})
    with pytest.raises(CheckpointError, match=f"{name}: {num_bytes} bytes are too many"):
        stored_models.parse_manifest(data, "here")


def test_a_journal_that_was_changed_afterwards_is_found(registry: Registry) -> None:
    folder = Path(registry.location) / "robot_nav" / "journal"
    second = folder / f"{2:012d}.json"
    document = json.loads(second.read_text())
    second.write_text(json.dumps({**document, "who": "another@machine"}))
    with pytest.raises(RegistryError, match="is not the entry that entry 3 followed"):
        registry.journal("robot_nav")
    second.unlink()
    assert any("is missing, and entry 3 is there" in problem for problem in verify(registry, "robot_nav").problems)


def test_a_journal_that_forgets_a_version_is_found(registry: Registry) -> None:
    with registry._held("robot_nav") as (hold, newest):
        Journal(f"{registry.location}/robot_nav").add(
            replace(
                newest, number=newest.number + 1, kind="note", alias=None, from_version=None, to_version=None,
                versions=(1,), aliases={}, previous_sha256=newest.sha256,
            ),
            hold,
        )  # fmt: skip
    told = f"robot_nav: entry {newest.number + 1} of the journal lacks version 2, which was added before"
    assert told in verify(registry, "robot_nav").problems


@pytest.mark.parametrize("damage", ["{", "[]"])
def test_a_version_without_revisions_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    run = make_run(tmp_path / "first", steps=(100,))
    (run.path / "run.json").write_text(damage)
    version = Registry(tmp_path / "models").add(run.path, "robot_nav")
    assert version.provenance["git_revision"] is None
    assert "first: run.json" in caplog.text
    assert "without its revisions, packages and project" in caplog.text


def test_a_bucket_holds_a_registry_too(
    made: Path, bucket: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_lock, "SETTLE_S", 0.01)
    registry = Registry("s3://lab/models")
    registry.add(made / "first", "m", alias="champion")
    version = registry.add(made / "second", "m", alias="challenger")
    assert version.location == "s3://lab/models/m/versions/2"
    registry.promote("m", expected_generation=1)
    with pytest.raises(MovedMeanwhileError):
        registry.promote("m", 1, expected_generation=1)
    assert (verify(registry, "m").problems, registry.names()) == ([], ["m"])
    assert list(bucket("lab/models/m/.locks").iterdir()) == []
    with located("s3://lab/models/m@champion", writes=True) as found:
        assert (found.run.name, found.uri) == ("m@2", "s3://lab/models/m/versions/2")
        written = found.keep(lambda folder: [_note(folder)], "evaluations")
    assert written[0].startswith("s3://lab/models/m/evaluations/2/")
    assert bucket(written[0].removeprefix("s3://")).read_text() == "found"
    assert verify(registry, "m").problems == []


def _note(folder: Path) -> Path:
    (folder / "note.txt").write_text("found")
    return folder / "note.txt"


def test_calls_open_a_registry_and_take_its_models(
    registry: Registry, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBONAV_REGISTRY", registry.location)
    assert rn.registry().names() == ["robot_nav"] == open_registry(registry.location).names()
    obs = np.linspace(-0.1, 0.1, 4, dtype=np.float32)
    by_name, by_path = rn.load_policy("robot_nav@champion"), rn.load_policy(made / "first")
    np.testing.assert_array_equal(by_name.q_values(obs), by_path.q_values(obs))
    assert by_name.env_steps == 200
    with pytest.raises(CheckpointError, match="robot_nav@1 is one version of a model"):
        rn.load_policy("robot_nav@champion", checkpoint="best")
