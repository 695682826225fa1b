"""Gradient hooks of weights, and other things that stand between a weight and a game: obeyed, or refused in words before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from gan_meta.contents import hooks_of
from gan_meta.pair import GANPair


def refuse_unplayable(pair: GANPair, adapting: Iterable[str], *, is_shared: bool) -> None:
    """Refuse weights that no game can move rightly.

    Args:
        adapting: the names of the weights that the game moves.
        is_shared: whether several ranks share the game's batches.

    Raises:
        ValueError: naming the first such weight, the reason, and what to do.
    """
    for name, module in pair.named_modules():
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
            raise ValueError(
                f"the module {name or 'pair'!r} ({type(module).__name__}) is lazy and has no weights yet: call the pair's networks once on "
                "a batch before the game"
            )
    parameters = dict(pair.named_parameters())
    for name in adapting:
        if hooks_of(parameters[name], "_post_accumulate_grad_hooks"):
            raise ValueError(
                f"{name!r} has a hook of register_post_accumulate_grad_hook, which would never be called: a game asks for gradients and "
                "accumulates none; use register_hook on the weight, or a role for it"
            )
        if is_shared and hooks_of(parameters[name]):
            raise ValueError(
                f"{name!r} has a gradient hook, which ranks that share a batch would each apply to a part of the gradient; use "
                'parallel="tasks", or remove the hook'
            )


def refuse_backward_hooks(pair: GANPair, algorithm: str) -> None:
    """Refuse hooks of modules on the way back, which a second derivative would call again.

    Raises:
        ValueError: naming the first such module, and what to do.
    """
    for name, module in pair.named_modules():
        if module._backward_hooks or module._backward_pre_hooks:
            raise ValueError(
                f"{algorithm} would be wrong with the backward hook of {name or 'pair'!r}: the way back through the game calls it again, "
                'on what is no gradient of a loss; remove it, or use a first-order algorithm ("reptile", "fomaml")'
            )


def obeyed(names: Sequence[str], gradients: Sequence[Tensor | None], parameters: Mapping[str, Tensor]) -> list[Tensor | None]:
    """What the parameters' gradient hooks make of gradients that belong to other tensors in their place.

    Raises:
        ValueError: for a hook through which a gradient with a graph does not keep it.
    """
    return [
        gradient if gradient is None or name not in parameters else _hooked(name, gradient, parameters[name])
        for name, gradient in zip(names, gradients, strict=True)
    ]


def without_hooks(pair: GANPair) -> GANPair:
    """The pair, whose parameters' gradient hooks have been removed."""
    for parameter in pair.parameters():
        parameter._backward_hooks = None
    return pair


def _hooked(name: str, gradient: Tensor, parameter: Tensor) -> Tensor:
    for hook in list(hooks_of(parameter).values()):
        values, graph = gradient.detach().clone(), gradient.grad_fn
        found = hook(gradient)
        result = gradient if found is None else found
        # A constant, such as zeros for a weight that shall not move, has no graph and needs none.
        has_changed = not torch.equal(values, result.detach()) if result.grad_fn is graph else not result.requires_grad
        if graph is not None and has_changed and bool(result.any()):
            raise ValueError(
                f"the gradient hook of {name!r} changes the gradient where no derivative goes through it (by detach, .data or no_grad), "
                "and MAML differentiates the whole game; return a new tensor, such as gradient * mask, or use a first-order algorithm"
            )
        gradient = result
    return gradient
