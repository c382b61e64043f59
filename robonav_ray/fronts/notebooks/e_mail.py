"""The e-mail about a training: a template that is filled in and shown; the reader's mail program opens it, or a notice
brings it.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from robonav_ray.evaluation.report import verdict
from robonav_ray.fronts.notebooks.places import Place
from robonav_ray.fronts.train_call import TrainResult
from robonav_ray.runs.checkpoint_index import read_index
from robonav_ray.runs.listing import describe_run
from robonav_ray.runs.run_directory import open_run
from robonav_ray.text import html_text, one_line
from robonav_ray.tracking.panel import format_seconds

TEMPLATE = """\
Run:       {name}
Status:    {status}
Env steps: {env_steps:,}
Training:  {train}
Result:    {result}

Files:     {files}
{next}
"""


@dataclass(frozen=True)
class Mail:
    """An e-mail that has not been sent."""

    subject: str
    body: str
    to: str = ""

    @property
    def link(self) -> str:
        """What opens it in a mail program."""
        return f"mailto:{quote(self.to, safe='@,')}?subject={quote(self.subject)}&body={quote(self.body)}"

    def _repr_html_(self) -> str:
        return (
            f"<p><b>{html_text(self.subject)}</b></p><pre>{html_text(self.body)}</pre>"
            f'<p><a href="{html_text(self.link)}">Open it in the mail program</a></p>'
        )


def training_mail(result: TrainResult, place: Place, to: str = "", template: str = TEMPLATE) -> Mail:
    """Return the e-mail about a training.

    Args:
        result: What the training gave.
        place: Where its files lie.
        to: Address of the reader; may be left out.
        template: Text with the fields ``name``, ``status``, ``env_steps``, ``train``, ``result``, ``files``, ``next``.
    """
    run = open_run(result.path)
    facts = describe_run(run)
    report = result.evaluation
    told = read_index(run.path).why_best() if report is None else verdict(report.levels[-1])
    train_s = facts["train_s"]
    finished = result.status == "finished"
    body = template.format(
        name=one_line(run.path.name),
        status=result.status,
        env_steps=result.env_steps,
        train="-" if not isinstance(train_s, int | float) else format_seconds(float(train_s)),
        result=one_line(told) or "not evaluated yet",
        files=one_line(place.kept),
        next="" if finished else "Next:      open the notebook and run all cells; the training goes on.",
    )
    return Mail(f"robonav_ray: {one_line(run.path.name)} {'has finished' if finished else 'has stopped'}", body, to)
