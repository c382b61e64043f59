"""How far an exam is, over all its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.evaluation.exam import ExamPlan
from robonav_ray.evaluation.exam_table import Cell
from robonav_ray.runtime.examination.compiling import Compiling


class ExamWatch:
    """Adds up what the cells under way have done, and tells it."""

    def __init__(
        self,
        plan: ExamPlan,
        cells: Sequence[Cell],
        told: Callable[[EvaluationProgress], None],
        compiling: Callable[[Compiling], None],
    ) -> None:
        """Watch ``cells``; ``told`` is given the sums, and may raise to end the exam; ``compiling`` the kernels that a
        process beside compiles.
        """
        self._size = {cell: plan.seats[cell].num_episodes for cell in cells}
        self._done: dict[Cell, tuple[int, int]] = {}
        self._told = told
        self.tell_compiling = compiling

    @property
    def num_episodes(self) -> int:
        """Episodes that there are to play."""
        return sum(self._size.values())

    def note(self, cell: Cell, num_done: int, num_steps: int) -> None:
        """Take in how far one cell is."""
        self._done[cell] = num_done, num_steps
        self.tell()

    def finish(self, cell: Cell) -> None:
        """Take in that a cell is through."""
        self.note(cell, self._size[cell], self._done.get(cell, (0, 0))[1])

    def tell(self) -> None:
        """Tell of the sums."""
        done, steps = (sum(counts) for counts in zip(*self._done.values(), strict=True)) if self._done else (0, 0)
        self._told(EvaluationProgress(done, self.num_episodes, steps))
