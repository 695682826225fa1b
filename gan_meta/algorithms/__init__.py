"""Meta-learning algorithms, by name: each decides how theta moves after the game, and nothing else."""

from gan_meta.algorithms import anil, fomaml, maml, meta_sgd, reptile
from gan_meta.algorithms.base import MetaAlgorithm, MetaGradient
from gan_meta.algorithms.registry import available, create, find, register

__all__ = ["MetaAlgorithm", "MetaGradient", "anil", "available", "create", "find", "fomaml", "maml", "meta_sgd", "register", "reptile"]
