"""Query gradients: how each player's loss on the held-out samples changes with weights of a pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gan_meta.game.copies import copy_both, copy_objective
from gan_meta.game.coupling import are_coupled, rearranged
from gan_meta.game.passes import Passes, Unrecorded
from gan_meta.game.player_loss import NonFiniteLossError, player_loss, reduce_loss
from gan_meta.game.table import has_batch_statistics, put_buffers
from gan_meta.objective import Batch, Objective
from gan_meta.pair import GANPair
from gan_meta.seeds import derive_seed, random_state, seeded
from gan_meta.tasks import Samples, Task, count_samples, take


def require_query(task: Task, algorithm: str) -> Samples:
    """The task's query.

    Raises:
        ValueError: when it has none, or an empty one.
    """
    if task.query is None or count_samples(task.query) == 0:
        raise ValueError(f"{algorithm} needs a query to take its gradient on, but task {task.name!r} has none")
    return task.query


def check_query_batch_size(batch_size: int | None) -> int | None:
    """The size, if it is possible.

    Raises:
        ValueError: when it is below 1.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"query_batch_size must be at least 1, or None for the whole query at once; got {batch_size}")
    return batch_size


def query_gradients(
    objective: Objective,
    pair: GANPair,
    query: Samples,
    wanted: Mapping[str, Sequence[str]],
    seed: int,
    batch_size: int | None = None,
    step: int = 0,
) -> tuple[dict[str, dict[str, Tensor]], dict[str, float]]:
    """Each player's gradient of its mean loss over the query.

    Args:
        pair: where the gradients are taken; its buffers may move, as in any forward pass.
        wanted: {player: names of parameters, of either player, that its loss is differentiated for}.
        batch_size: how many samples pass at once; the whole query if ``None``. The answer is the same, with less memory.
        step: the number of iterations played, for a loss that asks for it.

    Returns:
        ``{player: {name: gradient}}`` and ``{"query_<player>": loss}``.

    Raises:
        ValueError: when the query shall be split, but its samples are coupled.
        NonFiniteLossError: when a loss is infinite or not a number.
    """
    objective = copy_objective(objective, pair, pair).objective
    named = dict(pair.named_parameters())
    gradients: dict[str, dict[str, Tensor]] = {}
    logs: dict[str, float] = {}
    for player, names in wanted.items():
        parameters = [named[name] for name in names]
        sums, loss = _player_gradient(objective, pair, query, player, parameters, seed, batch_size, step)
        if not torch.isfinite(loss):
            raise NonFiniteLossError(f"the {player}'s query loss is not finite after the game; a lower learning rate usually helps")
        gradients[player] = dict(zip(names, sums, strict=True))
        logs[f"query_{player}"] = float(loss)
    return gradients, logs


def _player_gradient(
    objective: Objective,
    pair: GANPair,
    query: Samples,
    player: str,
    parameters: list[torch.nn.Parameter],
    seed: int,
    size: int | None,
    step: int,
) -> tuple[list[Tensor], Tensor]:
    n_samples, device = count_samples(query), parameters[0].device
    size = n_samples if size is None else min(size, n_samples)
    if size < n_samples and has_batch_statistics(pair):
        raise ValueError(f"query_batch_size={size} would change batch normalisation's statistics; leave it out, or use eval() there")
    sums = [torch.zeros_like(parameter) for parameter in parameters]
    mean = torch.zeros((), device=device, dtype=parameters[0].dtype)
    if size < n_samples:
        with torch.enable_grad(), seeded(derive_seed(seed, "query", player), device):
            _refuse_coupled(lambda batch: player_loss(objective, pair, batch, player, step)[0].detach(), pair, query, player, size)
    with torch.enable_grad(), seeded(derive_seed(seed, "query", player), device):
        for start in range(0, n_samples, size):
            indices = range(start, min(start + size, n_samples))
            batch = {name: tensor.to(device) for name, tensor in take(query, indices).items()}
            passes = Passes(pair)
            loss = player_loss(objective, pair, batch, player, step)[0]
            if loss.ndim == 0 and size < n_samples:
                raise ValueError(f"the {player}'s loss is one scalar, so query_batch_size={size} would change it; leave it out")
            share = len(indices) / n_samples * reduce_loss(loss, len(indices), None, f"the {player}'s query loss")
            if not share.requires_grad:
                raise ValueError(f"the {player}'s query loss has no gradient to the {player}: is it used there, or was it detached?")
            gradients = passes.gradients([share], parameters)
            if start == 0:
                unused = {id(parameter) for parameter, gradient in zip(parameters, gradients, strict=True) if gradient is None}
                _see_unused(objective, pair, batch, player, step, unused)
            for total, gradient in zip(sums, gradients, strict=True):
                if gradient is not None:
                    total += gradient
            mean += share.detach()
    return sums, mean


def _see_unused(objective: Objective, pair: GANPair, batch: Batch, player: str, step: int, unused: set[int]) -> None:
    """Look, on copies, why weights got no gradient; those of the player itself, since no loss need look at the other."""
    names = [name for name, parameter in pair.player_parameters(player) if id(parameter) in unused]
    if not names:
        return
    copies, before = copy_both(pair, objective), random_state()
    named = dict(copies.pair.named_parameters())
    with Unrecorded({name: named[name] for name in names}):
        player_loss(copies.objective, copies.pair, batch, player, step)
    before.restore()


def _refuse_coupled(loss: Callable[[Batch], Tensor], pair: GANPair, query: Samples, player: str, size: int) -> None:
    """Refuse to split a query whose losses per sample look at the other samples; tried on two of them, and leaves the buffers alone."""
    reference = next(pair.parameters())
    two = {name: tensor.to(reference.device) for name, tensor in take(query, range(2)).items()}
    buffers = {name: buffer.clone() for name, buffer in pair.named_buffers()}
    before = random_state(reference.device)
    found = loss(two)
    is_for_each = found.ndim == 1 and before == random_state(reference.device)
    put_buffers(pair, buffers)
    if is_for_each:
        places = torch.tensor(rearranged(2), device=reference.device)
        other = loss({name: tensor.index_select(0, places) for name, tensor in two.items()})
        put_buffers(pair, buffers)
        if are_coupled({player: found}, {player: other}, reference.dtype):
            raise ValueError(
                f"the {player}'s loss of a sample depends on the others, so query_batch_size={size} would change it; leave it out"
            )
