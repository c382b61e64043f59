from robonav_ray.fronts.curriculum_system import CurriculumLearningSystem as CurriculumLearningSystem
from robonav_ray.fronts.device_manager import DeviceManager as DeviceManager
from robonav_ray.fronts.distributed_trainer import DistributedTrainer as DistributedTrainer
from robonav_ray.fronts.evaluate_call import evaluate as evaluate
from robonav_ray.fronts.optuna_optimizer import OptunaOptimizer as OptunaOptimizer
from robonav_ray.fronts.policy_call import StoredPolicy as StoredPolicy
from robonav_ray.fronts.policy_call import load_policy as load_policy
from robonav_ray.fronts.ray_tune_optimizer import RayTuneOptimizer as RayTuneOptimizer

__version__: str
