"""All steps of a pipeline in a terminal."""

import io

from robonav_ray.pipeline.planning import StepPlan
from robonav_ray.screen import Screen
from robonav_ray.verbs.pipelines.live import LiveWatcher


def test_each_step_has_a_row_with_its_state_and_what_it_said_last() -> None:
    file = io.StringIO()
    steps = [StepPlan("prepare", "done", "nothing changed"), StepPlan("train", "to do", "is not done yet")]
    with LiveWatcher(
        [*steps, StepPlan("notify", "left out", "")], Screen(file=file, force_terminal=True, width=100)
    ) as view:
        view.ended("prepare", "kept", "nothing changed", 0.0)
        view.began("train", "is not done yet")
        view.said("train", "[bold]env 3.07k\x1b[2J")
        screen = Screen(file=io.StringIO(), width=100)
        screen.print(view.render())
        view.ended("train", "done", "seed-0 50.0% held-out success", 61.0)
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "prepare  kept" in shown
    assert "train    at work" in shown
    assert "[bold]env 3.07k" in shown
    assert "\x1b[2J" not in file.getvalue()
    assert "61 s" in file.getvalue()
    assert "notify" not in file.getvalue()
