"""Sample pictures of a training: the same few frames each time, so that one sees it get better."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import gan_meta as gm
from metapix.conditioning import Conditioning
from metapix.personalize import draw_inputs
from metapix.training.subjects import Subject

_SAMPLES = 6


class Shown:
    """A few samples that pictures are drawn of again and again: what is real above, what a pair makes of the poses below.

    Args:
        subjects: six samples are taken from the first six of them, or from as many as there are.
        conditioning: how the pair is told of them.
    """

    def __init__(self, subjects: Sequence[Subject], conditioning: Conditioning) -> None:
        self._subjects, self._conditioning = subjects, conditioning
        batches = [samples.batch(rows) for samples, rows in self._rows()]
        self._batch = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}

    def of(self, pair: gm.GANPair) -> Tensor:
        """(3, 2 S, N S) in about [-1, 1]."""
        rows = (self._batch["image"], draw_inputs(pair, self._conditioning.inputs_of(self._batch)))
        return torch.cat([torch.cat(list(images), dim=-1) for images in rows], dim=-2)

    def support(self, shots: int) -> gm.Batch:
        """K evenly spaced samples of the first subject."""
        samples = self._subjects[0].samples
        return self._conditioning.support(samples.batch([number * (len(samples) - 1) // max(shots - 1, 1) for number in range(shots)]))

    def _rows(self) -> list[tuple[gm.BatchSource, list[int]]]:
        chosen = [self._conditioning.examples(subject.samples) for subject in self._subjects[:_SAMPLES]]
        each = -(-_SAMPLES // len(chosen))
        return [(samples, [len(samples) * (2 * number + 1) // (2 * each) for number in range(each)]) for samples in chosen]
