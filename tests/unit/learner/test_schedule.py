"""Learning-rate schedules against torch's, by steps and by budget, and through the loop, the state and the mailbox."""

from __future__ import annotations

import asyncio

import pytest
import torch
from torch.optim import lr_scheduler

from robonav_ray.commands import CommandBatch
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.config.runtime import BudgetConfig
from robonav_ray.learner.schedule import learning_rate, warmup_factor
from robonav_ray.runtime.budget import Budget
from robonav_ray.runtime.local_mailbox import LocalMailbox
from robonav_ray.runtime.over_ray.mailbox import Mailbox
from tests.fakes import ScriptedCommands
from tests.unit.learner.conftest import make_bench

BASE, WARMUP, HORIZON, FINAL = 3e-3, 7, 50, 0.2


def torchs_rates(kind: str, warmup: int, num_steps: int) -> list[float]:
    """The rates that a torch optimiser really uses in its first ``num_steps`` steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    rest = HORIZON - warmup
    after = {
        "constant": lambda: lr_scheduler.ConstantLR(optimizer, 1.0, 0),
        "linear": lambda: lr_scheduler.LinearLR(optimizer, 1.0, FINAL, total_iters=rest),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, rest, eta_min=BASE * FINAL),
    }[kind]
    if warmup:
        first = lr_scheduler.LinearLR(optimizer, 1.0 / warmup, 1.0, total_iters=warmup - 1)
        schedule = lr_scheduler.SequentialLR(optimizer, [first, after()], [warmup])
    else:
        schedule = after()
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def config_of(kind: str, warmup: int, **changes) -> LearnerConfig:
    rest = {} if kind == "constant" else {"lr_final_frac": FINAL, "lr_schedule_steps": HORIZON}
    return LearnerConfig(learning_rate=BASE, lr_schedule=kind, lr_warmup_steps=warmup, **(rest | changes))


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, WARMUP])
def test_rates_are_torchs(kind, warmup):
    config = config_of(kind, warmup)
    ours = [learning_rate(config, step, 0.9) for step in range(HORIZON + 1)]
    assert ours == pytest.approx(torchs_rates(kind, warmup, HORIZON + 1), rel=1e-6)
    if kind != "constant":
        assert ours[HORIZON] == pytest.approx(BASE * FINAL)
        assert learning_rate(config, 10 * HORIZON, 0.0) == ours[HORIZON]


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_by_budget_the_rate_is_a_function_of_the_part_used(kind):
    by_steps, by_budget = config_of(kind, 0), config_of(kind, 0, lr_schedule_steps=None)
    for step in (0, 10, 25, 50):
        assert learning_rate(by_budget, 999, step / HORIZON) == pytest.approx(learning_rate(by_steps, step, 0.0))
    assert learning_rate(by_budget, 999, 1.7) == learning_rate(by_budget, 999, 1.0)
    warm = config_of(kind, WARMUP, lr_schedule_steps=None)
    assert (
        learning_rate(warm, 1, 0.0)
        == pytest.approx(BASE * warmup_factor(1, WARMUP))
        == pytest.approx(BASE * 2 / WARMUP)
    )


def test_the_budget_that_is_further_counts():
    budget = Budget(BudgetConfig(time_s=100.0, max_env_steps=1000))
    assert budget.used_frac(train_s=25.0, env_steps=100, passed_s=0.0) == 0.25
    assert budget.used_frac(train_s=25.0, env_steps=700, passed_s=0.0) == 0.7
    assert budget.used_frac(train_s=500.0, env_steps=0, passed_s=0.0) == 1.0
    assert budget.used_frac(train_s=25.0, env_steps=700, passed_s=None) == 0.7


def test_seconds_count_from_where_the_curriculum_was_passed():
    budget = Budget(BudgetConfig(time_s=100.0))
    assert budget.used_frac(train_s=500.0, env_steps=9, passed_s=None) == 0.0, (
        "a slow machine keeps its rate until it has passed"
    )
    assert budget.used_frac(train_s=60.0, env_steps=9, passed_s=60.0) == 0.0
    assert budget.used_frac(train_s=80.0, env_steps=9, passed_s=60.0) == 0.5
    assert budget.used_frac(train_s=100.0, env_steps=9, passed_s=60.0) == 1.0
    assert budget.used_frac(train_s=300.0, env_steps=9, passed_s=250.0) == 1.0, "it ends at once"


def test_the_optimizer_follows_the_steps_and_resume_goes_on(tmp_path):
    config = LearnerConfig(
        batch_size=8,
        learning_rate=BASE,
        lr_schedule="cosine",
        lr_warmup_steps=3,
        lr_schedule_steps=20,
        batches_per_call=1,
    )
    straight = make_bench(config=config)
    rates = []
    for _ in range(12):
        straight.loop.advance(1)
        rates.append(straight.state.optimizer.learning_rate)
    assert rates == [learning_rate(config, step, 0.0) for step in range(12)]
    first, second = make_bench(config=config), make_bench(config=config)
    first.loop.advance(5)
    first.state.save(tmp_path)
    second.state.load(tmp_path)
    second.loop.advance(1)
    assert second.state.optimizer.learning_rate == rates[5]


class TellingCommands(ScriptedCommands):
    """Says at every look that a tenth more of the budget is used."""

    def exchange(self, metrics):
        batch = super().exchange(metrics)
        return CommandBatch(batch.commands, batch.stop, min(1.0, len(self.metrics) / 10))


def test_what_the_mailbox_says_of_the_budget_sets_the_rate_is_reported_and_saved(tmp_path, monkeypatch):
    config = LearnerConfig(
        batch_size=8, learning_rate=BASE, lr_schedule="linear", lr_final_frac=0.0, report_interval=4, batches_per_call=4
    )
    bench = make_bench(config=config)
    commands = TellingCommands(until=lambda metrics: metrics["learner/learner_step"] >= 40)
    bench.loop._commands = commands
    monkeypatch.setattr("robonav_ray.learner.loop.LOOK_S", 1e9)
    bench.loop.run()
    reported = [m["learner/learning_rate"] for m in commands.metrics[:5]]
    assert reported == pytest.approx([BASE * (1.0 - i / 10) for i in range(5)])
    bench.state.save(tmp_path)
    other = make_bench(config=config)
    other.state.load(tmp_path)
    assert other.state.budget_frac == bench.state.budget_frac > 0.0
    other.loop.advance(1)
    assert other.state.optimizer.learning_rate == pytest.approx(BASE * (1.0 - bench.state.budget_frac))


def test_the_local_mailbox_hands_the_budget_over():
    mailbox = LocalMailbox()
    assert mailbox.exchange({}).budget_frac is None
    mailbox.budget_frac = 0.25
    assert mailbox.exchange({}).budget_frac == 0.25


def test_the_mailbox_over_ray_says_it_at_every_look_also_to_a_restarted_learner():
    async def scenario() -> None:
        mailbox = Mailbox()
        assert (await mailbox.exchange(await mailbox.attach(), {})).budget_frac is None
        await mailbox.tell_budget(0.5)
        assert [(await mailbox.exchange(1, {})).budget_frac for _ in range(2)] == [0.5, 0.5]
        assert (await mailbox.exchange(await mailbox.attach(), {})).budget_frac == 0.5

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learner.lr_schedule=step"], "constant"),
        (["learner.lr_schedule_steps=100"], "lr_schedule is constant"),
        (["learner.lr_final_frac=0.5"], r"lr_final_frac \(0.5\) would be ignored"),
        (["learner.lr_schedule=linear", "learner.lr_schedule_steps=10", "learner.lr_warmup_steps=10"], "must be above"),
        (
            ["learner.lr_schedule=cosine", "budget.time_s=0"],
            "set learner.lr_schedule_steps, budget.time_s or budget.max_env_steps",
        ),
    ],
)
def test_a_schedule_that_cannot_work_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_run_config(None, overrides)


def test_a_schedule_with_an_end_loads():
    assert not load_run_config(None, ["learner.lr_warmup_steps=10"]).learner.follows_budget
    assert load_run_config(None, ["learner.lr_schedule=cosine"]).learner.follows_budget
    config = load_run_config(None, ["learner.lr_schedule=cosine", "learner.lr_schedule_steps=10", "budget.time_s=0"])
    assert not config.learner.follows_budget
