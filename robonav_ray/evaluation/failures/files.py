"""What an exam leaves of its failures: rows, clusters, pictures of typical cases, a film of the worst, and a page.

::

    failures.csv                  a row for each failed episode of every entrant
    failures.json                 clusters: entrant, name, number, typical case
    failures.html                 up to 200 of them, replayed in a browser
    failures.gif                  the eight worst of the entrant that was named first and has any
    failures/ENTRANT.gif          those of each other one that has any, by its number from 1
    failures/ENTRANT-CLUSTER.png  the last 2 s of each typical case; both numbers from 1
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.bundle_entrant import BundleEntrant
from robonav_ray.evaluation.entrants import Entrant, FunctionEntrant, PolicyEntrant
from robonav_ray.evaluation.exam import NUM_WORLDS, Seat
from robonav_ray.evaluation.exam_table import Cell, ExamTable
from robonav_ray.evaluation.failures.clusters import Cluster, clusters_of
from robonav_ray.evaluation.failures.films import NUM_WORST, film_worst, moments
from robonav_ray.evaluation.failures.page import MAX_EPISODES, Shown, write_page
from robonav_ray.evaluation.failures.replays import Recording, check_same, replay
from robonav_ray.evaluation.failures.rows import Failures, failures_of
from robonav_ray.files.plain_files import PlainFileError, read_json, replace
from robonav_ray.records import Outcome
from robonav_ray.report.document import Table, to_csv
from robonav_ray.worlds.pictures.film import save_png

FAILURES_CSV, FAILURES_JSON, FAILURES_HTML, FAILURES_GIF = (
    f"failures.{kind}" for kind in ("csv", "json", "html", "gif")
)
PICTURES = "failures"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Told:
    """Failures with their clusters."""

    failures: Failures
    """Of the whole exam."""
    clusters: tuple[tuple[int, Cluster], ...]
    """(entrant, cluster) in the order of entrants, largest first; members are positions in ``failures``."""

    @property
    def cluster_of(self) -> np.ndarray:
        """(F,) int64: position in ``clusters``."""
        label = np.zeros(len(self.failures), np.int64)
        for c, (_, cluster) in enumerate(self.clusters):
            label[cluster.members] = c
        return label


def tell_failures(table: ExamTable) -> Told:
    """Return the failures of ``table``, each entrant's clustered by what led to them."""
    failures = failures_of(table)
    found: list[tuple[int, Cluster]] = []
    for entrant in range(len(table.entrants)):
        rows = np.flatnonzero(failures.of("entrant") == entrant)
        for cluster in clusters_of(failures.only(rows)):
            moved = Cluster(cluster.name, cluster.outcome, rows[cluster.members], int(rows[cluster.typical]))
            found.append((entrant, moved))
    return Told(failures, tuple(found))


def write_failures(
    folder: Path,
    table: ExamTable,
    entrants: tuple[Entrant, ...],
    seats: Mapping[Cell, Seat],
    say: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Write what is told above into ``folder``, and return its files; none where nothing failed.

    Args:
        folder: Of the exam.
        table: What was played.
        entrants: Who played it, in the order of the table.
        seats: The worlds of each cell.
        say: Is told which episodes could not be replayed, and why.
    """
    told = tell_failures(table)
    if not len(told.failures):
        return []
    worst = worst_of(told)
    everyones = [i for own in worst.values() for i in own]
    found = _replayed(told, chosen(told, everyones), entrants, seats, say)
    if not found:
        return write_rows(folder, told)
    page = folder / FAILURES_HTML
    shown = [_shown(told, i, found[i], i in everyones) for i in found]
    write_page(page, f"How episodes fail: {', '.join(sorted({facts.suite for facts in table.scenarios}))}", shown)
    films = [folder / FAILURES_GIF, *(folder / PICTURES / f"{entrant + 1}.gif" for entrant in list(worst)[1:])]
    filmed = [film for film, own in zip(films, worst.values(), strict=True) if _film(film, told, found, own)]
    written = [page, *_pictures(folder, told, found), *filmed]
    return [*write_rows(folder, told), *written]


def are_told(folder: Path, table: ExamTable) -> bool:
    """Whether ``folder`` holds the failures of this exam already: failures.json is written last."""
    try:
        document = read_json(folder / FAILURES_JSON)
    except (FileNotFoundError, PlainFileError):
        return False
    return isinstance(document, dict) and document.get("episodes") == _hash_of(table)


def _hash_of(table: ExamTable) -> str:
    digest = hashlib.sha256()
    for name, column in sorted(table.columns.items()):
        digest.update(name.encode() + column.tobytes())
    digest.update(json.dumps([facts.name for facts in (*table.entrants, *table.scenarios)]).encode())
    return digest.hexdigest()


def write_rows(folder: Path, told: Told) -> list[Path]:
    """Write failures.csv and failures.json; return their paths."""
    failures, label = told.failures, told.cluster_of
    records = [
        {
            **failures.record(i),
            "cluster": told.clusters[label[i]][1].name,
            "typical": told.clusters[label[i]][1].typical == i,
        }
        for i in range(len(failures))
    ]
    rows = Table(
        "failures",
        "Failed episodes",
        ("case",),
        tuple((failures.case(i),) for i in range(len(failures))),
        "l",
        tuple(records),
    )
    totals = np.bincount(failures.table.columns["entrant"], minlength=len(failures.table.entrants))
    document = {
        "format_version": FORMAT_VERSION,
        "episodes": _hash_of(failures.table),
        "num_failures": len(failures),
        "clusters": [
            {
                "entrant": failures.table.entrants[entrant].name,
                "name": cluster.name,
                "num_episodes": cluster.size,
                "frac_of_episodes": cluster.size / int(totals[entrant]),
                "typical": failures.record(cluster.typical),
            }
            for entrant, cluster in told.clusters
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / FAILURES_CSV, to_csv(rows))
    replace(folder / FAILURES_JSON, json.dumps(document, indent=1, allow_nan=False) + "\n")
    return [folder / FAILURES_CSV, folder / FAILURES_JSON]


def worst_of(told: Told) -> dict[int, list[int]]:
    """Return the worst failures of each entrant that has any, by its number.

    They are those of the hardest impact, and of those without one the ones farthest from the last goal.
    """
    failures = told.failures
    entrant, left, impact = failures.of("entrant"), np.nan_to_num(failures.of("remaining_m")), failures.impact
    order = sorted(range(len(failures)), key=lambda i: (-impact[i], -left[i], i))
    return {int(e): [i for i in order if entrant[i] == e][:NUM_WORST] for e in np.unique(entrant)}


def chosen(told: Told, worst: list[int]) -> list[int]:
    """Return which are replayed, ``MAX_EPISODES`` at most: typical ones, the worst, then of each cluster in turn."""
    picked = dict.fromkeys([cluster.typical for _, cluster in told.clusters] + worst)
    queues = [[int(i) for i in cluster.members if int(i) not in picked] for _, cluster in told.clusters]
    for turn in range(max(map(len, queues), default=0)):
        picked |= dict.fromkeys(queue[turn] for queue in queues if turn < len(queue))
        if len(picked) >= MAX_EPISODES:
            break
    return sorted(list(picked)[:MAX_EPISODES])


def _replayed(
    told: Told, wanted: list[int], entrants: tuple[Entrant, ...], seats: Mapping[Cell, Seat], say: Callable[[str], None]
) -> dict[int, Recording]:
    """Return the recordings of those that came out as in the exam."""
    failures, found = told.failures, dict[int, Recording]()
    for cell in sorted({failures.cell(i) for i in wanted} & seats.keys()):
        own = [i for i in wanted if failures.cell(i) == cell]
        try:
            recordings = replay_cell(entrants[cell[0]], seats[cell], [int(failures.at("world", i)) for i in own])
            for i, recording in zip(own, recordings, strict=True):
                told_of = [failures.at(name, i) for name in ("outcome", "length", "path_length_m")]
                check_same(recording, int(told_of[0]), int(told_of[1]), told_of[2], failures.case(i))
                found[i] = recording
        except UserError as error:
            say(f"not replayed: {error}")
    return dict(sorted(found.items()))


def replay_cell(entrant: Entrant, seat: Seat, lanes: list[int]) -> list[Recording]:
    """Return the episodes ``lanes`` of a cell as they were in the exam, bit for bit.

    A policy decides for each row alone, and so does a bundle, so any of its episodes are played together. A planner may
    count worlds, so each is played alone under its own index. A function may hang on the other rows: it has its
    neighbours of the exam.
    """
    decides_alone = isinstance(entrant, PolicyEntrant | BundleEntrant)
    batch = None if decides_alone else NUM_WORLDS if isinstance(entrant, FunctionEntrant) else 1
    q_values = entrant.policy.q_values if isinstance(entrant, PolicyEntrant) else None
    num_worlds = -(-seat.num_episodes // seat.world.num_robots)
    return replay(
        entrant, seat, lanes, cut_off_after=seat.level.max_steps, q_values=q_values, batch=batch, num_worlds=num_worlds
    )


def _shown(told: Told, i: int, recording: Recording, is_worst: bool) -> Shown:
    failures = told.failures
    cluster = next(cluster for _, cluster in told.clusters if i in cluster.members)
    record = failures.record(i)
    labels = {
        "step": "ended at step",
        "bearing_deg": "bearing of what was hit",
        "speed_of_other": "its speed",
        "own_speed": "own speed",
        "moved_into_the_other": "who moved into whom",
        "density_per_m2": "density",
        "clearance_before_m": "clearance 1 s before",
    }
    units = {
        "bearing_deg": " deg",
        "speed_of_other": " m/s",
        "own_speed": " m/s",
        "density_per_m2": " per m2",
        "clearance_before_m": " m",
    }
    movers = {"robot": "the robot into the other", "other": "the other into the robot"}
    if not Outcome(cluster.outcome).is_collision:
        labels = labels | {"bearing_deg": "bearing of the nearest thing"}
    facts = tuple(
        (label, movers.get(str(record[key]), f"{record[key]}{units.get(key, '')}"))
        for key, label in labels.items()
        if record[key] is not None
    )
    notes = (*(["typical"] if cluster.typical == i else []), *(["worst"] if is_worst else []))
    return Shown(recording, record["entrant"], record["case"], record["kind"], cluster.name, notes, facts)


def _pictures(folder: Path, told: Told, found: Mapping[int, Recording]) -> list[Path]:
    written: list[Path] = []
    counts: dict[int, int] = {}
    for entrant, cluster in told.clusters:
        counts[entrant] = counts.get(entrant, 0) + 1
        if cluster.typical in found:
            path = folder / PICTURES / f"{entrant + 1}-{counts[entrant]}.png"
            save_png(moments(found[cluster.typical]), path)
            written.append(path)
    return written


def _film(path: Path, told: Told, found: Mapping[int, Recording], worst: list[int]) -> bool:
    """Film those of ``worst`` that could be replayed; return whether there are any."""
    there = [i for i in worst if i in found]
    steps = {found[i].dt_s for i in there}
    there = [i for i in there if found[i].dt_s == max(steps)]  # one film has one pace
    if there:
        film_worst(path, [found[i] for i in there], [str(int(told.failures.at("world", i))) for i in there])
    return bool(there)
