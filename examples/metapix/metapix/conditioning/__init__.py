"""Conditioning: how a pair is told of a person and of the poses to draw. Everything that personalises or draws goes through it."""

from metapix.conditioning.lookup import conditioning_of
from metapix.conditioning.poses import Poses
from metapix.conditioning.protocol import Conditioning, Inputs, Memory

__all__ = ["Conditioning", "Inputs", "Memory", "Poses", "conditioning_of"]
