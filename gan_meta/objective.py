"""Objective: what each player of a GANPair minimises, and Losses: what it returns."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor

from gan_meta.batch_types import type_problem
from gan_meta.contents import is_filled
from gan_meta.game.terms import refuse_shared
from gan_meta.pair import GANPair

Batch = dict[str, Tensor]
"""One batch: named tensors whose first dimension counts the samples."""


@dataclass(frozen=True)
class Losses:
    """Both players' losses of one batch.

    Attributes:
        generator: shape (N,), one loss a sample, or a scalar where the loss couples the samples.
        discriminator: likewise, or ``None`` where there is no discriminator or it was not asked for.
        parts: the named terms, for logging; each (N,) or scalar.
    """

    generator: Tensor
    discriminator: Tensor | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)


def _offered(losses: Callable[..., Losses]) -> Callable[[Any, GANPair, Batch], Losses]:
    """To a type checker, a method that an override may write without the keyword ``step``."""
    return cast(Callable[[Any, GANPair, Batch], Losses], losses)


class Objective:
    """What each player minimises. Subclass it for a GAN of your own.

    Write the losses as if both players were always learning: **never detach**. The engine asks each
    player's gradient for that player's own weights only, and a meta-gradient through the game needs
    the paths that a ``detach`` would cut.

    **Keep no count.** A loss that changes as the game goes on asks for the keyword ``step``: the 0-based iteration of the game, given to
    each of the three methods that names it or takes any keyword. A query after the game sees the number of iterations played,
    ``inner.steps``.

    Example:
        >>> class LeastSquares(Objective):
        ...     def generator_loss(self, pair, batch):
        ...         fake = pair.generator(batch["noise"])
        ...         return (pair.discriminator(fake) - 1).square().flatten(1).mean(1)      # (N,)
        ...     def discriminator_loss(self, pair, batch):
        ...         fake = pair.generator(batch["noise"])
        ...         real_term = (pair.discriminator(batch["image"]) - 1).square().flatten(1).mean(1)
        ...         fake_term = pair.discriminator(fake).square().flatten(1).mean(1)
        ...         return {"D_real": real_term / 2, "D_fake": fake_term / 2}              # summed, logged by name
    """

    def generator_loss(self, pair: GANPair, batch: Batch) -> Tensor | Mapping[str, Tensor]:
        """The generator's loss: (N,), a dict of (N,) that is summed, or a scalar if the loss couples the samples."""
        raise TypeError(f"{type(self).__name__} defines neither generator_loss nor losses; define one of them")

    def discriminator_loss(self, pair: GANPair, batch: Batch) -> Tensor | Mapping[str, Tensor]:
        """The discriminator's loss, in the same forms; never called for a pair without a discriminator."""
        raise TypeError(
            f"{type(self).__name__} defines no discriminator_loss, but the pair has a discriminator; define it, or "
            "build the pair with discriminator=None"
        )

    @_offered
    def losses(self, pair: GANPair, batch: Batch, *, step: int | None = None) -> Losses:
        """Both losses of one batch with the weights as they stand.

        Override it where one forward pass can serve both players; it must then return what the two
        separate losses would. This one hands ``step`` on to them.
        """
        generator, parts = total(ask(self.generator_loss, pair, batch, step))
        if pair.discriminator is None:
            return Losses(generator, None, parts)
        discriminator, discriminator_parts = total(ask(self.discriminator_loss, pair, batch, step))
        refuse_shared(parts, discriminator_parts)
        return Losses(generator, discriminator, {**parts, **discriminator_parts})

    def precompute(self, batch: Batch) -> Batch:
        """Further per-sample tensors that no step of a game changes, for example features of the real images.

        The engine calls it once a game, on the unique samples, and adds the result to each batch; keys must
        not clash with the batch's own. The default adds nothing. An objective must give the same losses with
        and without these keys.
        """
        return {}


def ask(method: Callable[..., Any], pair: GANPair, batch: Batch, step: int | None) -> Any:
    """What a method of an objective answers; it is told the step if it asks for it.

    Raises:
        ValueError: when it needs a gradient through what was made under ``torch.inference_mode()``, the batch's types do not fit, or the
            step goes where it is not taken.
    """
    options = {"step": step} if step is not None and asks_for_step(method) else {}
    given = dict(batch)
    try:
        return method(pair, batch, **options)
    except (RuntimeError, TypeError) as error:
        problem = type_problem(pair, given, error)
        if problem is not None:
            raise ValueError(problem) from error
        if options and "unexpected keyword argument 'step'" in str(error):
            raise ValueError(
                f"{_name(method)} hands the keyword step on to what does not take it: name `step` among its keywords, and hand it on to "
                "what asks for it"
            ) from error
        if "nference tensor" not in str(error):
            raise
        raise ValueError(
            f"{_name(method)} uses tensors made under torch.inference_mode(), which no gradient goes through: compute the losses without "
            "it, and what is constant under torch.no_grad()"
        ) from error


def asks_for_step(method: Callable[..., Any]) -> bool:
    """Whether a method names the keyword ``step``, or takes any; of a decorated one, what it hands on to decides.

    Raises:
        ValueError: when the step cannot be given by keyword.
    """
    if _is_short(getattr(method, "__func__", method)):
        return False
    own = inspect.signature(method, follow_wrapped=False).parameters
    kinds = {parameter.kind for parameter in own.values()}
    wrapped = _wrapped(method) if inspect.Parameter.VAR_POSITIONAL in kinds else getattr(method, "__wrapped__", None)
    if "step" in own and own["step"].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
        return "step" not in getattr(method, "keywords", ())  # a partial's, which has fixed it
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return wrapped is None or asks_for_step(wrapped)
    if "step" in own or (wrapped is not None and asks_for_step(wrapped)):
        raise ValueError(f"{_name(method)} asks for the step, which is given by keyword: name it after the others, as in (..., *, step)")
    return False


def _is_short(function: object) -> bool:
    """Whether a plain function takes nothing of this name and hands nothing on: seen at once, as every loss is asked in every iteration."""
    if type(function) is not types.FunctionType or vars(function):
        return False
    code = function.__code__
    return "step" not in code.co_varnames and not code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)


def _wrapped(method: Callable[..., Any]) -> Callable[..., Any] | None:
    """What a decorator's function hands on to; without ``functools.wraps``, the function that it closes over."""
    function = getattr(method, "__func__", method)
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if is_filled(cell)]
    found: Callable[..., Any] | None = getattr(function, "__wrapped__", None) or next(filter(inspect.isroutine, cells), None)
    return found


def _name(method: Callable[..., Any]) -> str:
    return str(getattr(method, "__qualname__", "the loss"))


def defines(objective: Objective, name: str) -> bool:
    """Whether an objective has this one of the three losses of its own, be it set on the object alone."""
    return getattr(getattr(objective, name), "__func__", None) is not getattr(Objective, name)


def written_losses(objective: Objective) -> list[Callable[..., Any]]:
    """The methods, of the three that say what the players minimise, that this objective defines itself."""
    names = ("generator_loss", "discriminator_loss", "losses")
    return [getattr(objective, name) for name in names if defines(objective, name)]


def total(loss: Tensor | Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of a loss given as a tensor or as named terms, and the named terms.

    Raises:
        TypeError: for a loss, or a term, of another type.
        ValueError: for a dict without a term.
    """
    if isinstance(loss, Tensor):
        return loss, {}
    if not isinstance(loss, Mapping) or not all(isinstance(term, Tensor) for term in loss.values()):
        found = {name: type(term).__name__ for name, term in loss.items()} if isinstance(loss, Mapping) else type(loss).__name__
        raise TypeError(f"a loss must be a tensor or a dict of named tensors, got {found}")
    if not loss:
        raise ValueError("a loss given as a dict must have at least one term")
    terms = dict(loss)
    values = iter(terms.values())
    result = next(values)
    for value in values:
        result = result + value
    return result, terms
