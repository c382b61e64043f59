"""Report: the exam as PDF, page and tables, with what the pipeline did before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.files.plain_files import read_bytes
from robonav_ray.pipeline.runs_of_steps import runs
from robonav_ray.pipeline.step import Job, Made, Step
from robonav_ray.report.document import Block, Facts, Figure, Section, Table, paragraph

MAX_PICTURE_BYTES = 8_000_000


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """What stands in it besides results."""
    return {"name": config.name, "question": config.question}


def work(job: Job) -> Made:
    """Write report.pdf, report.html, summary.json and tables."""
    from robonav_ray.evaluation.exam_report.files import report_exam
    from robonav_ray.runtime.self_play.league_files import league_sections

    exam = job.path(job.results["evaluate"]["exam"])

    def more(table: ExamTable) -> Sequence[Section]:
        return [*league_sections(table, job.say), _section(job)]

    written = report_exam(exam, job.folder, job.say, more=more)
    by_suffix = {path.suffix: job.below(path) for path in written if path.parent == job.folder}
    facts = {"pdf": by_suffix.get(".pdf"), "html": by_suffix.get(".html"), "summary": by_suffix.get(".json")}
    return Made(facts, written, ", ".join(path.name for path in written if path.suffix in (".pdf", ".html")))


def _section(job: Job) -> Section:
    blocks: list[Block] = [] if job.config.question is None else [paragraph(job.config.question)]
    if (search := job.results.get("search")) is not None:
        told = f"{search['trials']} trials" if "trials" in search else "given"
        objective = (("best objective", f"{search['objective']:.3f}"),) if "objective" in search else ()
        blocks.append(Facts((("search", told), *objective, ("best config", search["config"]))))
    found, chosen = runs(job), job.results.get("select")
    if found:
        rows = tuple(
            (
                run["name"],
                str(run["seed"]),
                f"{run['env_steps']:,}",
                "-" if run["success"] is None else f"{run['success']:.1%}",
                "selected" if chosen is not None and chosen["name"] == run["name"] else "",
            )
            for run in found
        )
        head = ("run", "seed", "env steps", "held-out success", "")
        caption = "Success on the held-out worlds of each run's own evaluation, at the end of its training."
        records = tuple({key: run[key] for key in ("name", "seed", "env_steps", "success", "weights")} for run in found)
        blocks.append(Table("trained_runs", caption, head, rows, "lrrrl", records))
    for name, path in job.results.get("visualise", {}).get("curves", {}).items():
        caption = f"{name}: how it learned."
        blocks.append(
            Figure(
                f"curves_{name.replace('-', '_')}", caption, caption, png=read_bytes(job.path(path), MAX_PICTURE_BYTES)
            )
        )
    return Section(f"How it was trained: the pipeline {job.config.name}", tuple(blocks))


STEP = Step(
    "report",
    ("robonav_ray.report", "robonav_ray.evaluation.exam_report", "robonav_ray.pipeline.steps.report"),
    inputs,
    work,
    ends_at_once=True,
)
