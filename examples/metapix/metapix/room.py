"""Room: whether a pair can draw at a size at all, and whether there is memory for the work, asked before anything large is made.

What a file says of itself costs nothing to write, so a start of a few kilobytes can ask for terabytes. A pass over shapes alone (torch's
meta device) tells what a step keeps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import gan_meta as gm
from gan_meta.models.outline import outline
from gan_meta.models.posewarp.inputs import SIZE_MULTIPLE
from metapix.data.limits import check_room
from metapix.errors import InputError
from metapix.recipe import Recipe

_COPIES = 5
"""Of the weights in a game: theta, phi, gradients, and Adam's two averages."""
_FEATURES = {"vgg19": 2400, "vgg19-random": 2400, "efficientnet_lite0": 900}
"""Bytes that a perceptual network keeps a pixel, in float32."""
_BESIDE = 1.5
"""Of what is kept for the derivatives, with what lives a moment only (measured: 1 to 2)."""
_SHARE, _DRAWN_AT_ONCE = 0.3, 16
"""Of the maps that are kept for derivatives, those that live at once where none are taken; and pictures of a batch."""


def check_drawing(pair: gm.GANPair, size: int, where: str) -> None:
    """See that a pair can draw at a size, and that there is room for it.

    Args:
        where: what the pair and the size came from, for messages.

    Raises:
        InputError: when it cannot, or there is none.
    """
    if pair.model_name is not None:
        planned = outline(pair.model_name, pair.model_arguments)
        _pass(planned, size, where)
        kept = _kept(lambda: planned.generator(*_inputs(planned, size)))
        check_room(_SHARE * kept * _DRAWN_AT_ONCE, f"{where}: drawing at {size} x {size} pixels", device=next(pair.parameters()).device)


def check_game(pair: gm.GANPair, recipe: Recipe, samples: int, where: str, precision: str = "float32") -> None:
    """See that a pair can draw at its recipe's size, and that its game has room.

    Args:
        samples: distinct samples that the game is played on.
        where: what the pair and the recipe came from, for messages.
        precision: as for :class:`gan_meta.InnerLoop`.

    Raises:
        InputError: when it cannot, or there is none.
    """
    check_drawing(pair, recipe.size, where)
    if pair.model_name is not None:
        size, planned = recipe.size, outline(pair.model_name, pair.model_arguments)
        in_step = min(recipe.batch_size, samples)
        kept = _kept(lambda: _pass(planned, size, where)) + _FEATURES.get(recipe.perceptual or "", 0) * size**2
        if precision != "float32":
            kept /= 2
        weights = _COPIES * sum(weight.numel() * 4 for weight in planned.parameters())
        stored = samples * size**2 * 4 * sum(tensor.shape[1] for tensor in _inputs(planned, size) if tensor.ndim == 4)
        what = f"{where}: a game at {size} x {size} pixels with {in_step} samples a step"
        check_room(weights + stored + _BESIDE * kept * in_step, what, device=next(pair.parameters()).device)


def _inputs(pair: gm.GANPair, size: int) -> tuple[Tensor, ...]:
    """A generator's arguments for one picture, shapes only."""
    if pair.model_name != "posewarp":
        first = next(weight for weight in pair.generator.parameters() if weight.ndim == 4)
        return (torch.empty(1, first.shape[1], size, size, device="meta"),)
    joints, limbs, half = pair.model_arguments["n_joints"], pair.model_arguments["n_limbs"] + 1, size // 2
    shapes = ((3, size, size), (joints, half, half), (joints, half, half), (limbs, size, size), (limbs, 2, 3))
    return tuple(torch.empty(1, *shape, device="meta") for shape in shapes)


def _pass(pair: gm.GANPair, size: int, where: str) -> None:
    """One picture through the generator, and through a discriminator that looks at pose and picture together, twice."""
    inputs = _inputs(pair, size)
    try:
        image = pair.generator(*inputs)
        if tuple(image.shape) != (1, 3, size, size):
            raise ValueError(f"it makes {image.shape[1]} x {image.shape[2]} x {image.shape[3]} of it")
        if pair.discriminator is not None and pair.model_name != "posewarp":
            for _ in ("real", "generated"):
                pair.discriminator(torch.cat([inputs[0], image], 1))
    except (RuntimeError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{where}: its network cannot draw at {size} x {size} pixels ({reason}); {_fitting(pair)}") from error


def _fitting(pair: gm.GANPair) -> str:
    arguments = pair.model_arguments
    multiple = SIZE_MULTIPLE if pair.model_name == "posewarp" else 2 ** int(arguments.get("n_downsample", 0))
    if arguments.get("generator") == "local":
        multiple *= 2 ** int(arguments.get("n_enhancers", 0))
    return f"recipe.size must be a multiple of {multiple}, and large enough for its discriminator"


def _kept(work: Callable[[], None]) -> float:
    """Bytes that operations on the meta device keep for their derivatives, each storage once, the weights left out."""
    kept: dict[int, int] = {}
    held: list[torch.UntypedStorage] = []  # a storage that is gone could lend its number to another

    def note(tensor: Tensor) -> Tensor:
        if not tensor.is_leaf or not tensor.requires_grad:
            storage = tensor.untyped_storage()
            held.append(storage)
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        work()
    return float(sum(kept.values()))
