"""What a gate asks of the newest snapshot beside partners: the match that is under way, and what the last one showed.

Whether a match is due hangs on the window when a snapshot is taken, and when its outcome counts hangs on env steps. The
caller has it played. So a run that was stopped in between has it played anew, and goes on as if it had not stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from robonav_ray.ranges import MAX_COUNT, count, real, require
from robonav_ray.records import MAX_MEMBER_ID
from robonav_ray.runs.progress import PartnerFigures

NO_PARTNERS: dict[str, Any] = {"figures": None, "under_way": None}
"""The state before the first match; states of earlier versions of this program have none."""


class PartnerMatch(NamedTuple):
    """A match for the gate of the current stage."""

    member: str
    """The snapshot that plays."""
    begun: int
    """Env steps of the learner."""


class PartnerGate:
    """The matches of one curriculum, one at a time."""

    def __init__(self) -> None:
        self.figures: PartnerFigures | None = None
        """Of the last match in this stage that still counts."""
        self.under_way: PartnerMatch | None = None

    def end(self, success_frac: Mapping[str, float]) -> PartnerFigures:
        """Take in what came of the match under way, by company, each from 0 to 1; ValueError when there is none, or it
        was in no company.
        """
        if self.under_way is None or not success_frac:
            raise ValueError("the outcome of a match takes one that is under way, in one company at least")
        fractions = [float(one) for one in success_frac.values()]
        real(None, low=0.0, high=1.0).check("success_frac", fractions)
        self.figures = PartnerFigures(*self.under_way, tuple(success_frac), tuple(fractions))
        self.under_way = None
        return self.figures

    def forget(self) -> None:
        """What was shown, and is being played, counts no more: another stage has begun."""
        self.figures = self.under_way = None

    def is_met(self, at_least: float | None) -> bool:
        """Whether a snapshot has shown ``at_least`` beside the worst partner; None asks for nothing."""
        return at_least is None or (self.figures is not None and self.figures.worst[1] >= at_least)

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as JSON takes it."""
        return {
            "figures": None if self.figures is None else asdict(self.figures),
            "under_way": None if self.under_way is None else list(self.under_way),
        }

    def load_state_dict(self, state: Any) -> None:
        """Take over what ``state_dict`` gave; ValueError, and nothing changed, when it does not fit."""
        require(isinstance(state, Mapping) and set(state) == set(NO_PARTNERS), "judging.partners: is no state")
        figures = read_figures("judging.partners.figures", state["figures"])
        under_way = _read_match(state["under_way"])
        self.figures, self.under_way = figures, under_way


def read_figures(name: str, value: Any) -> PartnerFigures | None:
    """Return the figures that ``asdict`` gave, or None for none.

    Raises:
        ValueError: Beginning with ``name``, when it is neither.
    """
    if value is None:
        return None
    known = [field.name for field in fields(PartnerFigures)]
    is_row = isinstance(value, list) and len(value) == len(known)  # as the first version of this program wrote them
    told: Any = dict(zip(known, value, strict=True)) if is_row else value
    require(isinstance(told, Mapping) and set(told) == set(known), f"{name}: are none")
    company = told["company"]
    is_listed = isinstance(company, list | tuple) and len(company) > 0 and all(isinstance(one, str) for one in company)
    require(is_listed and isinstance(told["member"], str) and _is_id(told["member"]), f"{name}: names no members")
    count(high=MAX_COUNT).check(f"{name}.env_steps", told["env_steps"])
    fractions = list(told["success_frac"]) if isinstance(told["success_frac"], list | tuple) else None
    real(len(company), low=0.0, high=1.0).check(f"{name}.success_frac", fractions)
    return PartnerFigures(told["member"], told["env_steps"], tuple(company), tuple(map(float, fractions or ())))


def _read_match(value: Any) -> PartnerMatch | None:
    name = "judging.partners.under_way"
    match value:
        case None:
            return None
        case [str(member), int(begun)]:
            count(high=MAX_COUNT).check(name, begun)
            require(_is_id(member), f"{name}: names no member")
            return PartnerMatch(member, begun)
        case _:
            require(False, f"{name}: is no match")


def _is_id(text: str) -> bool:
    return 0 < len(text) <= MAX_MEMBER_ID and text.isprintable()
