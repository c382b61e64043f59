"""Five plots of a study: optimization history, importances, parallel coordinates, slices and contours.

Optuna draws them (``optuna.visualization``); here they get sizes, and an order in which labels do not lie on each
other.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator
from optuna.trial import TrialState

MAX_CONTOUR_PARAMS = 4
"""The contour plot shows every pair of so many parameters, the most important ones: more cannot be read."""
_DPI = 110
_SLICE_COLUMNS = 5
_CONTOUR_COLUMNS = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Plot:
    """One of the plots; ``why_not`` says what keeps it from being drawn."""

    name: str
    size_inch: tuple[float, float]
    params: list[str] | None = None
    """What it shows; None for those that show no parameters."""
    why_not: str = ""
    importances: Mapping[str, float] | None = None
    """Of the parameters, for the plot of these."""

    @property
    def options(self) -> dict[str, Any]:
        """What Optuna's function is called with."""
        params = {} if self.params is None else {"params": self.params}
        return params if self.importances is None else params | {"evaluator": _Known(self.importances)}


class _Known(BaseImportanceEvaluator):
    """Importances that have been worked out already."""

    def __init__(self, importances: Mapping[str, float]) -> None:
        self._importances = dict(importances)

    def evaluate(self, study: optuna.Study, params: list[str] | None = None, *, target: Any = None) -> dict[str, float]:
        """Return them."""
        del study, params, target
        return self._importances


def visualize(study: optuna.Study, directory: Path) -> list[Path]:
    """Draw optimization history, importances, parallel coordinates, slices and contours; return the files, PNG before
    HTML.

    What cannot be drawn is left out with a warning. The HTML files share a ``plotly.min.js`` beside them, so they open
    without a network; they are left out where plotly is not installed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    plots = []
    for plot in _plots(study):
        if plot.why_not:
            logger.warning("plot %s is left out: %s", plot.name, plot.why_not)
        else:
            plots.append(plot)
    with _agg():
        drawn = [_attempt(plot, _draw_png, study, directory / f"{plot.name}.png") for plot in plots]
    if find_spec("plotly") is None:
        logger.info("no HTML plots: plotly is not installed (pip install 'robonav_ray[plots]')")
    else:
        drawn += [_attempt(plot, _write_html, study, directory / f"{plot.name}.html") for plot in plots]
    return [path for path in drawn if path is not None]


def _plots(study: optuna.Study) -> list[_Plot]:
    """Return the five, in the order in which they are looked at."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values: dict[str, set[Any]] = {}
    for trial in complete:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(value)
    varied = sorted(name for name in values if len(values[name]) > 1)
    few = "" if len(complete) > 1 else f"it takes 2 complete trials, and there are {len(complete)}"
    one = few or ("" if varied else "no parameter has more than one value")
    flat = "" if len({trial.value for trial in complete}) > 1 else "all trials have the same value"
    two = few or ("" if len(varied) > 1 else "it takes 2 parameters with more than one value each") or flat
    importances = {} if two else _importances(study, varied)
    unknown = two or ("" if importances else "too few trials have all of the parameters")
    important = (
        sorted(importances, key=lambda name: -importances[name])[:MAX_CONTOUR_PARAMS] or varied[:MAX_CONTOUR_PARAMS]
    )
    num = max(len(varied), 1)
    return [
        _Plot("optimization_history", (10.0, 5.5), None, few),
        _Plot("param_importances", (9.0, 2.5 + 0.45 * num), varied, unknown, importances),
        _Plot("parallel_coordinate", (4.0 + 1.9 * num, 6.5), varied, one),
        _Plot("slice", (5.6, 4.6), varied, one),
        _Plot("contour", (6.4, 5.2), important, two),
    ]


def _importances(study: optuna.Study, names: list[str]) -> dict[str, float]:
    """Return the part of the values' variance that each parameter explains (fANOVA, Hutter et al. 2014); none where it
    cannot be told.

    Optuna's default, PED-ANOVA, hardly sees choices beside numbers, however much hangs on them.
    """
    evaluator = FanovaImportanceEvaluator(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are rough after a few trials
        try:
            importances = optuna.importance.get_param_importances(study, evaluator=evaluator, params=names)
        except (ValueError, RuntimeError):  # no trial has all of them, or too little varies
            return {}
    return {name: float(importance) for name, importance in importances.items()}


def _attempt(
    plot: _Plot, draw: Callable[[_Plot, optuna.Study, Path], None], study: optuna.Study, path: Path
) -> Path | None:
    try:
        with warnings.catch_warnings():
            # optuna.visualization.matplotlib is experimental, and roughness is no reason to stop
            warnings.simplefilter("ignore")
            draw(plot, study, path)
    except Exception as error:  # Optuna's plots raise anything on some studies; the other plots are drawn
        logger.warning("plot %s could not be drawn: %s: %s", path.name, type(error).__name__, error, exc_info=error)
        return None
    return path


@contextlib.contextmanager
def _agg() -> Iterator[None]:
    """Draw with Agg, and leave pyplot as it was: backend, settings (Optuna's plots change the style) and open
    figures.
    """
    import matplotlib
    from matplotlib import pyplot as plt

    backend = dict.__getitem__(matplotlib.rcParams, "backend")  # as it stands: reading it by [] would choose one
    open_before = set(plt.get_fignums())
    category = logging.getLogger("matplotlib.category")
    level = category.level
    category.setLevel(logging.WARNING)  # that choices look like numbers is no news
    plt.switch_backend("agg")
    try:
        with matplotlib.rc_context():
            yield
    finally:
        category.setLevel(level)
        for number in set(plt.get_fignums()) - open_before:
            plt.close(number)
        with contextlib.suppress(ImportError):  # named, but unusable here
            plt.switch_backend(backend)


def _draw_png(plot: _Plot, study: optuna.Study, path: Path) -> None:
    import matplotlib
    from matplotlib import pyplot as plt

    trials = study.get_trials(deepcopy=False)
    whole = {
        name for trial in trials for name, kind in trial.distributions.items() if isinstance(kind, IntDistribution)
    }
    draw = getattr(optuna.visualization.matplotlib, f"plot_{plot.name}")
    settings = {"figure.figsize": plot.size_inch, "font.size": 10.0, "contour.negative_linestyle": "solid"}
    settings["text.parse_math"] = False  # names and choices are the user's: a dollar in them begins no formula
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        axes = list(np.ravel(draw(study, **plot.options)))
        figure = axes[0].figure
        _TIDY[plot.name](figure, axes, whole)
        figure.savefig(path, dpi=_DPI, facecolor="white", bbox_inches="tight", pad_inches=0.2)
        plt.close(figure)


def _tidy_history(figure: Any, axes: list[Any], whole: set[str]) -> None:
    """The best value rises in steps; the legend lies above the points."""
    del figure, whole
    for line in axes[0].lines:
        line.set_drawstyle("steps-post")
    axes[0].set_title("")
    axes[0].set_title("Optimization History Plot", loc="left")
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)


def _tidy_importances(figure: Any, axes: list[Any], whole: set[str]) -> None:
    """A legend of one entry says nothing."""
    del figure, whole
    axes[0].get_legend().remove()


def _tidy_parallel(figure: Any, axes: list[Any], whole: set[str]) -> None:
    """Lines are thin and none of them white; tick labels stand on a white ground."""
    from matplotlib.colors import LinearSegmentedColormap

    lines = axes[0].collections[0]
    shades = lines.get_cmap()(np.linspace(0.0, 1.0, 256))
    ends = slice(64, None) if shades[0].sum() > shades[-1].sum() else slice(None, -64)
    lines.set(cmap=LinearSegmentedColormap.from_list("lines", shades[ends]), linewidth=1.2, alpha=0.8)
    short = {name if len(name) < 20 else f"{name[:17]}..." for name in whole}  # as Optuna writes it below the axis
    names = [label.get_text() for label in axes[0].get_xticklabels()]
    # those of the objective and the colour bar come first
    for ax, name in zip(figure.axes[2:], names[1:], strict=True):
        _plain_ticks(ax.yaxis, whole=name in short)
        for label in ax.get_yticklabels():
            label.set(bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5}, zorder=10)
    _slant(axes[:1])


def _tidy_slice(figure: Any, axes: list[Any], whole: set[str]) -> None:
    """Rows of a few panels, each row with its own labels."""
    if len(axes) > 1:
        _lay_out(figure, axes, columns=_SLICE_COLUMNS, panel_inch=(3.0, 3.0), title="Slice Plot")
    for i, ax in enumerate(axes):
        first = i % _SLICE_COLUMNS == 0
        ax.tick_params(axis="y", labelleft=first)
        ax.set_ylabel("Objective Value" if first else "")
        _plain_ticks(ax.xaxis, whole=ax.get_xlabel() in whole)
    _slant(axes)


def _tidy_contour(figure: Any, axes: list[Any], whole: set[str]) -> None:
    """Each pair once: Optuna's square shows it twice, around an empty diagonal."""
    if len(axes) > 1:
        num = round(len(axes) ** 0.5)
        kept = [axes[row * num + column] for row in range(num) for column in range(row)]
        for ax in axes:
            if ax not in kept:
                ax.remove()
        _lay_out(figure, kept, columns=_CONTOUR_COLUMNS, panel_inch=(4.4, 4.2), title="Contour Plot")
        axes = kept
    for ax in axes:
        ax.tick_params(labelbottom=True, labelleft=True)
        _plain_ticks(ax.xaxis, whole=ax.get_xlabel() in whole)
        _plain_ticks(ax.yaxis, whole=ax.get_ylabel() in whole)
    _slant(axes)


def _lay_out(figure: Any, axes: list[Any], *, columns: int, panel_inch: tuple[float, float], title: str) -> None:
    """Put the panels into rows, and the colour bar beside all of them."""
    num_rows, columns = -(-len(axes) // columns), min(columns, len(axes))
    width, height = columns * panel_inch[0] + 2.2, num_rows * panel_inch[1] + 1.2
    left, right, bottom, top = 0.8 / width, 1.0 - 1.4 / width, 0.7 / height, 1.0 - 0.5 / height
    figure.set_size_inches(width, height)
    grid = figure.add_gridspec(
        num_rows, columns, left=left, right=right, bottom=bottom, top=top, wspace=0.28, hspace=1.2 / panel_inch[1]
    )
    for i, ax in enumerate(axes):
        ax.set_subplotspec(grid[divmod(i, columns)])
    for bar in [ax for ax in figure.axes if ax not in axes]:
        bar.set_box_aspect(None)
        bar.set_position((1.0 - 1.1 / width, bottom, 0.2 / width, top - bottom))
    figure.suptitle(title, x=left, y=1.0 - 0.1 / height, ha="left", va="top")


def _plain_ticks(axis: Any, *, whole: bool) -> None:
    """Logarithmic axes get a few plain numbers, those of whole numbers no halves."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = sorted(axis.get_view_interval())
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 30.0 * low else (1.0, 3.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    elif whole:
        axis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _slant(axes: list[Any]) -> None:
    """Turn the labels below the panels, so that long ones do not meet."""
    axes[0].figure.canvas.draw()  # it is then that ticks get their labels
    for ax in axes:
        for label in ax.get_xticklabels():
            label.set(rotation=25, ha="right", rotation_mode="anchor")


_TIDY: dict[str, Callable[[Any, list[Any], set[str]], None]] = {
    "optimization_history": _tidy_history,
    "param_importances": _tidy_importances,
    "parallel_coordinate": _tidy_parallel,
    "slice": _tidy_slice,
    "contour": _tidy_contour,
}


def _write_html(plot: _Plot, study: optuna.Study, path: Path) -> None:
    draw = getattr(optuna.visualization, f"plot_{plot.name}")
    draw(study, **plot.options).write_html(path, include_plotlyjs="directory")
