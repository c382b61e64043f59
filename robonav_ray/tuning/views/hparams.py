"""The values of a trial in TensorBoard's hparams tab: in the event files of the trial's own run, so that there is one
run a trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

Status = Literal["running", "success", "failure"]
_SUFFIX = ".hparams"


def write_hparams(log_dir: Path, params: Mapping[str, Any], metrics: Mapping[str, float], status: Status) -> None:
    """Add the values and their results to the run in ``log_dir`` (``SummaryWriter.add_hparams`` would make a second
    run).

    A later call takes the place of an earlier one, of which TensorBoard would believe the first. ``running`` leaves the
    end open.

    Args:
        log_dir: Where the trial's tracker writes its events.
        params: Values by dotted key; what is no number or text is written as text.
        metrics: Figures by name, shown beside the values.
        status: What has become of the trial.
    """
    import torch  # noqa: F401  whole first: its writer is imported below
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    shown = {key: value if _is_plain(value) else str(value) for key, value in params.items()}
    figures = {f"hparam/{name}": float(value) for name, value in metrics.items()}
    experiment, start, end = hparams(shown, figures)
    data = end.value[0].metadata.plugin_data
    told = HParamsPluginData.FromString(data.content)
    told.session_end_info.status = getattr(api_pb2, f"STATUS_{status.upper()}")
    data.content = told.SerializeToString()
    earlier = list(log_dir.glob(f"events.out.tfevents.*{_SUFFIX}"))
    with SummaryWriter(str(log_dir), filename_suffix=_SUFFIX) as writer:
        for summary in (experiment, start) if status == "running" else (experiment, start, end):
            writer._get_file_writer().add_summary(summary)
        for name, value in figures.items():
            writer.add_scalar(name, value)
    for path in earlier:
        path.unlink(missing_ok=True)


def _is_plain(value: Any) -> bool:
    """Whether the tab shows it as it is; torch would make a number of a truth value."""
    return isinstance(value, int | float | str) and not isinstance(value, bool)
