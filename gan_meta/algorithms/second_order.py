"""What a gradient through the game cannot go through, refused in words before the game begins."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.spectral_norm import SpectralNorm

from gan_meta.game.hooks import refuse_backward_hooks
from gan_meta.game.inner import InnerLoop
from gan_meta.pair import GANPair


def refuse_own_optimizer(inner: InnerLoop, algorithm: str) -> None:
    """Refuse an optimiser factory: its steps have no derivative.

    Raises:
        ValueError: saying what to use instead.
    """
    if inner.has_own_optimizer:
        raise ValueError(
            f'{algorithm} cannot go through an optimizer factory, whose steps have no derivative; use "adam" or "sgd", '
            'or a first-order algorithm ("reptile", "fomaml")'
        )


def refuse_first_order_only(pair: GANPair, algorithm: str) -> None:
    """Refuse modules whose gradients cannot be differentiated again, or not rightly.

    Raises:
        ValueError: naming the first such module, the reason, and what to do.
    """
    refuse_backward_hooks(pair, algorithm)
    for name, module in pair.named_modules():
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            raise ValueError(
                f"{algorithm} cannot use the compiled module {name or 'pair'!r}: torch.compile's gradients cannot be differentiated again; "
                'give it the module as it was before torch.compile, or use a first-order algorithm ("reptile", "fomaml")'
            )
        if module.training and _iterates_powers(module):
            raise ValueError(
                f"{algorithm} would be wrong with the spectral normalisation in {name!r}: in training mode its vectors follow the weights "
                "by a power iteration that has no gradient; call eval() on that module, which keeps the vectors, or use a first-order "
                "algorithm"
            )


def _iterates_powers(module: nn.Module) -> bool:
    hooks = module._forward_pre_hooks.values()
    return isinstance(module, parametrizations._SpectralNorm) or any(isinstance(hook, SpectralNorm) for hook in hooks)
