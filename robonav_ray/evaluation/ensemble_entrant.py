"""Several policies as one entrant: ``ensemble:runs/a,runs/b``, ``ensemble:vote:runs/seed*``, an ``ensemble.json``, or a
version of a model that is one.
"""

from __future__ import annotations

import hashlib
import json

from robonav_ray.evaluation.entrants import EntrantError, Outfit, PolicyEntrant
from robonav_ray.evaluation.exam_table import EntrantFacts
from robonav_ray.runs.policies import Ensemble
from robonav_ray.runs.task import describe_task

_MOST_NAMES = 3
"""Members that a name of an ensemble lists."""


def ensemble_entrant(ensemble: Ensemble, name: str | None, source: str) -> PolicyEntrant:
    """Return an ensemble as an entrant; EntrantError where it was not trained in our worlds."""
    config = ensemble.config
    task = describe_task(config)
    if not task.is_native:
        raise EntrantError(f"{source}: was trained on env.id={task.env_id}, and an exam is in our worlds")
    levels = tuple(stage.level for member in ensemble.members for stage in member.config.curriculum.stages)
    outfit = Outfit.of(config.env.world, config.algo.gamma, levels)
    acting = [(member.config.algo.model_dump(mode="json"), member.sha256) for member in ensemble.members]
    digest = hashlib.sha256(json.dumps([ensemble.how, acting], sort_keys=True).encode()).hexdigest()
    name = name or _name(ensemble)
    facts = EntrantFacts(
        name=name,
        kind="ensemble",
        knows=outfit.knows,
        method=name,
        train_seed=None,
        source=source,
        provenance={
            "how": "mean of Q" if ensemble.how == "mean" else "vote of the members",
            **{
                f"member {number}": f"{member.facts['run']}/{member.facts['checkpoint']}, {member.sha256}"
                for number, member in enumerate(ensemble.members, 1)
            },
        },
    )
    return PolicyEntrant(
        facts=facts,
        outfit=outfit,
        fingerprint=digest,
        trained_with=tuple(int(member.facts["seed"]) for member in ensemble.members),
        policy=ensemble.policy(task),
    )


def _name(ensemble: Ensemble) -> str:
    runs = [str(member.facts["run"]) for member in ensemble.members]
    more = f"+{len(runs) - _MOST_NAMES}" if len(runs) > _MOST_NAMES else ""
    return f"{ensemble.how}({'+'.join(runs[:_MOST_NAMES])}{more})"
