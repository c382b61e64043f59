from robonav_ray.evaluation.fleet.exposures import ExposureLog as ExposureLog
from robonav_ray.evaluation.fleet.split import FleetSplit as FleetSplit
from robonav_ray.evaluation.fleet.watch import FleetWatch as FleetWatch
from robonav_ray.fronts.compare_call import compare as compare
from robonav_ray.fronts.compare_call import exam as exam
from robonav_ray.fronts.curriculum_system import CurriculumLearningSystem as CurriculumLearningSystem
from robonav_ray.fronts.device_manager import DeviceManager as DeviceManager
from robonav_ray.fronts.distributed_trainer import DistributedTrainer as DistributedTrainer
from robonav_ray.fronts.evaluate_call import evaluate as evaluate
from robonav_ray.fronts.evaluation_suite import EvaluationSuite as EvaluationSuite
from robonav_ray.fronts.models.registry_call import registry as registry
from robonav_ray.fronts.optuna_optimizer import OptunaOptimizer as OptunaOptimizer
from robonav_ray.fronts.own_tracking.experiment_tracker import ExperimentTracker as ExperimentTracker
from robonav_ray.fronts.policy_call import StoredPolicy as StoredPolicy
from robonav_ray.fronts.policy_call import load_policy as load_policy
from robonav_ray.fronts.ray_tune_optimizer import RayTuneOptimizer as RayTuneOptimizer
from robonav_ray.fronts.runs_call import runs as runs
from robonav_ray.fronts.self_play.self_play_league import SelfPlayLeague as SelfPlayLeague
from robonav_ray.fronts.studies.ab_call import AbResult as AbResult
from robonav_ray.fronts.studies.ab_call import ab as ab
from robonav_ray.fronts.studies.ablate_call import AblationResult as AblationResult
from robonav_ray.fronts.studies.ablate_call import ablate as ablate
from robonav_ray.fronts.train_call import TrainResult as TrainResult
from robonav_ray.fronts.train_call import train as train
from robonav_ray.fronts.tune_call import SearchResult as SearchResult
from robonav_ray.fronts.tune_call import tune as tune

__version__: str
