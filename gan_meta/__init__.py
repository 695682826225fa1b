"""gan-meta: meta-learning for GANs. A task goes in, a game of two players is played, and each algorithm decides how the start moves."""

from gan_meta import algorithms, distributed, hub, losses, metrics, models, sources
from gan_meta.algorithms import MetaAlgorithm, MetaGradient
from gan_meta.checking.check import CheckReport, check
from gan_meta.checkpoint import CheckpointError, load_pair, save_pair
from gan_meta.game.adaptation import adapt
from gan_meta.game.inner import InnerLoop
from gan_meta.game.player_loss import NonFiniteLossError
from gan_meta.game.rates import add_learned_rates
from gan_meta.objective import Batch, Losses, Objective
from gan_meta.onnx_export import export_onnx
from gan_meta.pair import GANPair
from gan_meta.pretraining import pretrain
from gan_meta.tasks import BatchSource, FewShotTasks, FixedTasks, Task, TaskSource
from gan_meta.trainer import MetaTrainer
from gan_meta.training.interruption import TrainingInterrupted

__all__ = [
    "Batch",
    "BatchSource",
    "CheckReport",
    "CheckpointError",
    "FewShotTasks",
    "FixedTasks",
    "GANPair",
    "InnerLoop",
    "Losses",
    "MetaAlgorithm",
    "MetaGradient",
    "MetaTrainer",
    "NonFiniteLossError",
    "Objective",
    "Task",
    "TaskSource",
    "TrainingInterrupted",
    "adapt",
    "add_learned_rates",
    "algorithms",
    "check",
    "distributed",
    "export_onnx",
    "hub",
    "load_pair",
    "losses",
    "metrics",
    "models",
    "pretrain",
    "save_pair",
    "sources",
]
__version__ = "0.1.0"
