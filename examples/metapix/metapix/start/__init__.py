"""The start that ships with MetaPix: its recipe, its training, its model card, and how it is loaded."""

from metapix.start.settings import StartSettings
from metapix.start.shipped import checked_shipped_start, load_shipped_start, shipped_start
from metapix.start.train import train_start

__all__ = ["StartSettings", "checked_shipped_start", "load_shipped_start", "shipped_start", "train_start"]
