"""Which criteria of the gates can be judged: all of them in our worlds; elsewhere, those that the episodes tell enough
for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from robonav_ray.config.curriculum import GateConfig, StageConfig
from robonav_ray.curriculum.partner_gate import NO_PARTNERS, PartnerGate
from robonav_ray.records import Outcome
from robonav_ray.runs.progress import WindowFigures

logger = logging.getLogger(__name__)
SILENT_EPISODES = 100
"""Episodes after which an environment that has told no success is taken for one that tells none."""


class Judging:
    """Holds windows against gates.

    An environment that is not ours tells success or does not, and only its episodes show which. A criterion on success
    keeps the gate shut until success has been told. In a run that was begun when every stage had one at its default,
    such a one holds from then on.
    """

    def __init__(self, stages: Sequence[StageConfig], has_outcomes: bool) -> None:
        """Begin without an episode; with ``has_outcomes`` every episode has one, collisions among them (our worlds)."""
        self._stages, self.tells_collisions = list(stages), has_outcomes
        self.tells_success = has_outcomes
        self._asked = [True] * len(stages)
        self.partners = PartnerGate()
        """What matches beside partners have shown of the current stage."""

    def take(self, outcome: np.ndarray) -> None:
        """Note the outcomes (E,) of finished episodes."""
        if not self.tells_success:
            self.tells_success = bool((outcome != Outcome.NONE).any())

    def stage(self, stage: int) -> StageConfig:
        """Return ``stage`` with the criteria that hold now."""
        config = self._stages[stage]
        success = config.gate.min_success_frac if self.tells_success or self._asked[stage] else None
        collision = config.gate.max_collision_frac if self.tells_collisions else None
        gate = config.gate.model_copy(update={"min_success_frac": success, "max_collision_frac": collision})
        return config.model_copy(update={"gate": gate})

    def gate(self, stage: int) -> GateConfig:
        """Return the criteria of ``stage`` that hold now."""
        return self.stage(stage).gate

    def is_met(self, stage: int, figures: WindowFigures) -> bool:
        """Return whether every criterion that holds now is met, also that beside partners: success >= ."""
        asked = self.gate(stage).min_partner_success_frac
        return self.is_window_met(stage, figures) and self.partners.is_met(asked)

    def is_window_met(self, stage: int, figures: WindowFigures) -> bool:
        """Return whether every criterion over the window that holds now is met: success >= , mean task return > ,
        collisions < .
        """
        gate = self.gate(stage)
        if gate.min_return is not None and not figures.mean_return > gate.min_return:
            return False
        if gate.min_success_frac is not None and not (
            self.tells_success and figures.success_frac >= gate.min_success_frac
        ):
            return False
        return gate.max_collision_frac is None or figures.collision_frac < gate.max_collision_frac

    def problem(self, stage: int, num_episodes: int) -> str | None:
        """Return why the gate of ``stage`` will never open, as far as ``num_episodes`` episodes show; None where it
        may.
        """
        asked = self.gate(stage).min_success_frac
        if asked is None or self.tells_success or num_episodes < SILENT_EPISODES:
            return None
        key = f"curriculum.stages.{stage}.gate.min_success_frac"
        return (
            f"{key} ({asked:g}) cannot be judged: the environment has told no `is_success` in {num_episodes:,} "
            "episodes. Have it told in `info` at the end of every episode (docs/your_environment.md), or set "
            f"{key}=null"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: what success was told, and the criteria that the config did not ask for."""
        at_default = [
            None if asked else stage.gate.min_success_frac
            for stage, asked in zip(self._stages, self._asked, strict=True)
        ]
        told = {"tells_success": self.tells_success, "at_default": at_default}
        return {**told, "partners": self.partners.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave; a criterion that has another value now was asked for.

        A criterion that was not asked for then and is not written down now holds as it did. A state of before there
        were partners has none.

        Raises:
            ValueError: When it is of another shape.
        """
        at_default, state = state["at_default"], {"partners": NO_PARTNERS, **state}
        if set(state) != {"tells_success", "at_default", "partners"} or len(at_default) != len(self._stages):
            raise ValueError(f"what the gates are judged by has the keys {sorted(state)} and {len(at_default)} stages")
        self.partners.load_state_dict(state["partners"])
        self._stages = [self._with_default(stage, value) for stage, value in zip(self._stages, at_default, strict=True)]
        self._asked = [
            stage.gate.min_success_frac != value for stage, value in zip(self._stages, at_default, strict=True)
        ]
        self.tells_success = self.tells_collisions or bool(state["tells_success"])
        self._warn_of_unasked()

    def _with_default(self, stage: StageConfig, value: float | None) -> StageConfig:
        if self.tells_collisions or value is None or stage.gate.min_success_frac is not None:
            return stage
        gate = GateConfig.model_validate({**stage.gate.model_dump(), "min_success_frac": value})
        return stage.model_copy(update={"gate": gate})

    def state_before(self, num_successes: int) -> dict[str, Any]:
        """Return the state of a run that was saved before there was one: nothing that it could not judge kept its gates
        shut.
        """
        return {
            "tells_success": num_successes > 0,
            "at_default": [stage.gate.min_success_frac for stage in self._stages],
        }

    def _warn_of_unasked(self) -> None:
        left_out = [
            i for i, stage in enumerate(self._stages) if stage.gate.min_success_frac is not None and not self._asked[i]
        ]
        if left_out and not self.tells_collisions:
            logger.warning(
                "curriculum.stages.%d.gate.min_success_frac counts once the environment tells `is_success` and not "
                "before, as when the run was saved; set another value to have it asked for, or 0 to drop it",
                left_out[0],
            )
