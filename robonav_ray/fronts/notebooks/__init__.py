"""What the notebooks in ``notebooks/`` import, for sessions in the cloud that end: they define nothing themselves.

Consumes: settings of a notebook, what Colab and Kaggle offer.
Produces: a training that goes on in the next session; tables, pictures and files for the cells.
Waits for: the training.
"""

from robonav_ray.fronts.notebooks.driven_episodes import DrivenEpisodes, drive_episodes
from robonav_ray.fronts.notebooks.e_mail import Mail, training_mail
from robonav_ray.fronts.notebooks.earlier_runs import EarlierRun
from robonav_ray.fronts.notebooks.gpus import FoundGpu, find_gpu
from robonav_ray.fronts.notebooks.open_tensorboard import open_tensorboard
from robonav_ray.fronts.notebooks.places import (
    Place,
    colab_place,
    finish_writing,
    hand_to_browser,
    kaggle_place,
    secret,
)
from robonav_ray.fronts.notebooks.run_results import (
    checkpoint_table,
    evaluation_table,
    four_plots,
    kept_files,
    save_version_reminder,
    write_metrics,
)
from robonav_ray.fronts.notebooks.session_limit import Session, open_session
from robonav_ray.fronts.notebooks.session_training import find_earlier_run, train_in_session
from robonav_ray.fronts.notebooks.settings import settings

__all__ = [
    "DrivenEpisodes",
    "EarlierRun",
    "FoundGpu",
    "Mail",
    "Place",
    "Session",
    "checkpoint_table",
    "colab_place",
    "drive_episodes",
    "evaluation_table",
    "find_earlier_run",
    "find_gpu",
    "finish_writing",
    "four_plots",
    "hand_to_browser",
    "kaggle_place",
    "kept_files",
    "open_session",
    "open_tensorboard",
    "save_version_reminder",
    "secret",
    "settings",
    "train_in_session",
    "training_mail",
    "write_metrics",
]
