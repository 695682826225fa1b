"""MAML of one player equals TorchOpt (Ren et al., 2023) and `higher`: the problem that `benchmarks/maml_libraries.py` times."""

from __future__ import annotations

import pytest
import torch
from maml_libraries import Problem


def flat(gradients: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_four_ways_to_the_same_gradient():
    problem = Problem(steps=3, size=16, adam=False)
    problem.start.double()
    for batch in (problem.support, problem.query):
        batch.update({name: tensor.double() for name, tensor in batch.items()})
    before = [parameter.detach().clone() for parameter in problem.start.parameters()]
    expected = flat(problem.by_torchopt())
    for found in (problem.by_higher(), problem.ours("unrolled")(), problem.ours("sweep")()):
        torch.testing.assert_close(flat(found), expected, rtol=1e-9, atol=1e-11)
    assert all(torch.equal(a, b) for a, b in zip(before, problem.start.parameters(), strict=True))
