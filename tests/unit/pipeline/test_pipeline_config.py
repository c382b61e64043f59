"""Which steps a pipeline has, and in which order: what cannot be is refused by name."""

from typing import Any

import pytest

from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.config.pipeline import STEPS, PipelineConfig


def config(**keys: Any) -> PipelineConfig:
    return check_section(PipelineConfig, keys, "mine.yaml")


def test_steps_are_done_as_listed_but_behind_those_that_they_take_from() -> None:
    assert config().order() == STEPS[:-2], "nothing says where to back up, and whom to notify"
    assert config(steps=["select", "prepare", "train"]).order() == ("prepare", "train", "select")
    assert config(steps=["train", "prepare", "search"]).order() == ("prepare", "search", "train")
    later = config(steps=["train", "visualise", "evaluate", "report"], after={"visualise": ["evaluate"]})
    assert later.order() == ("train", "evaluate", "visualise", "report")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"steps": ["trian"]}, "steps: there is no step 'trian'; did you mean 'train'?"),
        ({"steps": ["dance"]}, "there is no step 'dance'; the steps are prepare, search"),
        ({"steps": ["train", "train"]}, "train stands twice"),
        ({"steps": []}, "steps: .* at least 1 item"),
        (
            {"steps": ["train", "select", "evaluate"], "after": {"train": ["evaluate"]}},
            "after: train waits for evaluate waits for (select waits for )?train: a ring",
        ),
        ({"steps": ["train"], "after": {"train": ["select"]}}, "after: select is not among steps"),
        ({"steps": ["select"]}, r"select takes the result of train, .*train\.given=\[RUN"),
        ({"steps": ["evaluate"]}, "evaluate takes the result of train"),
        ({"steps": ["report"]}, "report takes the result of evaluate"),
        ({"steps": ["train", "export"], "train": {"seeds": [0, 1]}}, "export takes the result of select"),
        ({"train": {"config": "quick"}}, r"train\.config \(quick\) would be ignored, because search"),
        ({"train": {"seeds": [3, 3]}}, "seeds: 3 stands twice"),
        ({"search": {"given": "best.yaml", "overrides": {"seed": 1}}}, "overrides would be ignored"),
        ({"train": {"given": ["runs/a"], "config": "quick"}}, "would be ignored, because given"),
        (
            {"steps": ["train"], "back_up": {"uri": "x"}},
            "back_up: would be ignored, because back_up is not",
        ),
        ({"train": {"seeds": [0]}, "select": {"by": "mean"}}, r"select\.by=mean: takes several runs"),
        ({"train": {"seeds": [0, 1]}, "select": {"by": "vote"}}, r"select\.by=vote: a vote is no graph"),
        (
            {"train": {"seeds": [0, 1]}, "select": {"by": "mean"}, "export": {"formats": ["numpy"]}},
            r"export\.formats: numpy holds one network",
        ),
        ({"register": {}}, "register: unknown key; did you mean 'registry'"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config(**keys)


def test_a_result_may_be_given() -> None:
    assert config(steps=["select", "export"], select={"given": "runs/a"}).order() == ("select", "export")
    assert config(steps=["train", "export"], train={"given": ["runs/a"]}).order() == ("train", "export")
    assert config(steps=["search", "train"], search={"given": "best.yaml"}).order() == ("search", "train")
