"""Passes: a forward pass of a pair and the way back through it, some of which may be computed a second time.

Activation checkpointing, and any autograd function that computes in its backward pass what it did not keep, runs modules again on the way
back. They must find there what the forward pass found: its weights, its buffers, its draws. What cannot be made so is refused in words.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gan_meta.seeds import RandomState, random_state

Call = TypeVar("Call", bound=Callable[..., Any])

_GRADIENTS = (torch.autograd.grad, torch.autograd.backward, Tensor.backward)
_CONTAINERS = (list, dict, set, tuple)
_TENSOR_CODE = ("torch._tensor", "torch.functional", "torch.nn.functional", "torch.overrides")
"""Between code that computes with tensors and the operations that this comes to."""
_NOT_REENTRANT = "use torch.utils.checkpoint.checkpoint(..., use_reentrant=False)"


def unseen(function: Call) -> Call:
    """A decorator for the library's own backward passes, which recompute nothing: watching them would cost a tenth of MAML's time."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return function(*args)

    return cast(Call, call)


class Passes:
    """Made just before a forward pass through a pair, for the way back; the same weights must sit in the pair there and back.

    Args:
        pair: what is asked, and may be asked again on the way back.
    """

    def __init__(self, pair: nn.Module) -> None:
        self._pair = pair
        self._before = {name: (buffer, _version(buffer)) for name, buffer in pair.named_buffers()}

    def gradients(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        cotangents: Sequence[Tensor] | None = None,
        *,
        retain_graph: bool = False,
        create_graph: bool = False,
        leaves: Iterable[Tensor] = (),
    ) -> tuple[Tensor | None, ...]:
        """As ``torch.autograd.grad``, dense; ``None`` for an input that is not used. Buffers are afterwards as the forward pass left them.

        Args:
            cotangents: of the outputs' shapes; may be left out for scalars.
            create_graph: whether what is found will be differentiated again; for these ``leaves``, then.

        Raises:
            ValueError: when something is recomputed on the way that cannot be, or not rightly.
        """
        given = [torch.ones_like(output) for output in outputs] if cotangents is None else list(cotangents)
        watch = _Watch(self._pair, self._before, {id(leaf) for leaf in leaves} if create_graph else None)
        with in_words(), watch:
            found = _run(outputs, inputs, given, retain_graph, create_graph)
        watch.settle()
        return tuple(None if gradient is None else gradient.to_dense() if gradient.is_sparse else gradient for gradient in found)


def _run(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], given: Sequence[Tensor], retain_graph: bool, create_graph: bool
) -> Sequence[Tensor | None]:
    """``torch.autograd.grad``, inside which functions are seen: a call of that name is itself seen, and nothing that happens within."""
    engine = getattr(torch.autograd.graph, "_engine_run_backward", None)
    if engine is None:  # a torch that has moved it; what buffers, attributes and draws tell is told all the same
        return torch.autograd.grad(outputs, inputs, given, retain_graph, create_graph, allow_unused=True)
    found: Sequence[Tensor | None] = engine(
        tuple(outputs), tuple(given), retain_graph, create_graph, tuple(inputs), True, accumulate_grad=False
    )
    return found


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Around forward and backward passes: torch's errors that tell nothing of games become ones that do.

    Raises:
        ValueError: in place of torch's error.
    """
    try:
        yield
    except (RuntimeError, AttributeError) as error:
        reason = _reason(" ".join(str(error).split()))
        if reason is None:
            raise
        raise ValueError(reason) from error


class _Held(NamedTuple):
    """A tensor that a module keeps as an attribute, by identity, and how often it had been written to."""

    number: int
    version: int


class _Watch(TorchFunctionMode):
    """Sees each function of torch that Python calls on the way back; without recomputation there is none."""

    def __init__(self, pair: nn.Module, before: Mapping[str, tuple[Tensor, int]], leaves: set[int] | None) -> None:
        super().__init__()
        self._pair = pair
        self._before = before
        self._leaves = leaves
        self._buffers: list[tuple[Tensor, Tensor]] | None = None
        self._moved: dict[int, str] = {}
        self._read: set[int] = set()
        self._detached: dict[int, Tensor] = {}
        self._kept: list[tuple[str, nn.Module, dict[str, object]]] = []
        self._alive: list[Tensor] = []  # a tensor's identity is its own as long as it lives
        self._random: RandomState | None = None
        self._recomputes = False

    def __torch_function__(
        self, func: Callable[..., Any], kinds: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._buffers is None:
            self._begin()
        if self._leaves is not None and func in _GRADIENTS:
            _refuse_once_only(func, args, kwargs, self._leaves)
        # Backward passes run without recording, but for those that are differentiated again, and for what recomputes.
        self._recomputes |= torch.is_grad_enabled()
        for tensor in _tensors(args, kwargs):
            if id(tensor) in self._moved:
                _refuse_moved("buffer", self._moved[id(tensor)])
            self._read.add(id(tensor))
        result = func(*args, **kwargs)
        if self._leaves is not None and isinstance(result, Tensor) and result.dtype.is_floating_point:
            self._see_cut(func, result, args, kwargs)
        return result

    def _see_cut(self, func: Callable[..., Any], result: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Refuse a backward pass that computes with constants in place of what it depends on, by detaching it or without recording."""
        is_detached = func is Tensor.detach or getattr(func, "__self__", None) is Tensor.data
        if any(id(tensor) in self._detached for tensor in _tensors(args, kwargs)):
            _refuse_cut()
        if (is_detached or not torch.is_grad_enabled()) and any(tensor.requires_grad for tensor in _tensors(args, kwargs)):
            if is_detached and _in_autograd_function("backward", directly=True):
                self._detached[id(result)] = result
            elif not torch.is_grad_enabled() and _in_autograd_function("backward", directly=True):
                _refuse_cut()

    def _begin(self) -> None:
        """Remember what a recomputation could change."""
        now = dict(self._pair.named_buffers())
        with torch.no_grad():
            self._buffers = [(buffer, buffer.clone()) for buffer in now.values()]
        statistics = _statistics(self._pair)
        nothing = (None, 0)
        self._moved = {
            id(buffer): name
            for name, buffer in now.items()
            if id(buffer) not in statistics
            and (self._before.get(name, nothing)[0] is not buffer or self._before[name][1] != _version(buffer))
        }
        self._kept = [(name, module, _measures(module)) for name, module in self._pair.named_modules()]
        self._alive = [value for _, module, _ in self._kept for value in vars(module).values() if isinstance(value, Tensor)]
        self._random = random_state(self._device)

    @torch.no_grad()
    def settle(self) -> None:
        """Put back what a recomputation changed.

        Raises:
            ValueError: when it drew random numbers, which cannot have been those of the forward pass.
        """
        for buffer, kept in self._buffers or ():
            if not torch.equal(buffer, kept):
                buffer.data.copy_(kept)  # a graph that is kept may hold the buffer, and would take a write of ours for one that matters
        if self._random is None or not self._recomputes:
            return
        for name, module, before in self._kept:
            after = _measures(module)
            for attribute in after:
                if self._has_moved(before.get(attribute), after[attribute]):
                    _refuse_moved("attribute", f"{name}.{attribute}")
        if self._random != random_state(self._device):
            raise ValueError(
                "what is recomputed in the backward pass draws random numbers anew, such as dropout's, so its gradient is not the loss's: "
                "leave preserve_rng_state=True in torch.utils.checkpoint, or restore the generator's state in a function of your own"
            )

    def _has_moved(self, before: object, after: object) -> bool:
        """Whether an attribute has changed on the way, in a manner that may matter: a tensor that nothing looked at does not."""
        if isinstance(before, _Held):
            return before.number in self._read and before != after
        return not isinstance(after, _Held) and before is not after and (type(before) is not type(after) or before != after)

    @property
    def _device(self) -> torch.device | None:
        return next((parameter.device for parameter in self._pair.parameters()), None)


class Unrecorded(TorchFunctionMode):
    """Around a forward pass that is made again to see why weights, given by name, got no gradient.

    Raises:
        ValueError: naming one that an autograd function uses without recording it.
    """

    def __init__(self, suspects: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._suspects = {id(tensor): name for name, tensor in suspects.items()}

    def __torch_function__(
        self, func: Callable[..., Any], kinds: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not torch.is_grad_enabled():
            for tensor in _tensors(args, kwargs):
                if id(tensor) in self._suspects and _in_autograd_function("forward"):
                    raise ValueError(
                        f"{self._suspects[id(tensor)]!r} is used within an autograd function that gives it no gradient, so it would never "
                        f"move: torch.utils.checkpoint with use_reentrant=True does so where its inputs need none; {_NOT_REENTRANT}, or "
                        "hand the weights to a function of your own among its inputs"
                    )
        return func(*args, **kwargs)


def _refuse_once_only(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], leaves: set[int]) -> None:
    """Refuse a gradient, taken on the way back, that cannot be differentiated again."""
    inputs = args[1] if func is torch.autograd.grad and len(args) > 1 else ()
    inputs = [inputs] if isinstance(inputs, Tensor) else inputs
    is_cut = any(isinstance(tensor, Tensor) and tensor.is_leaf and id(_original(tensor)) not in leaves for tensor in inputs)
    if func is not torch.autograd.grad or not kwargs.get("create_graph") or is_cut:
        raise ValueError(
            "an autograd function takes a gradient in its backward pass that cannot be differentiated again, as MAML must: take it by "
            "torch.autograd.grad(..., create_graph=torch.is_grad_enabled()) for ctx.saved_tensors as they come, not for detached copies; "
            f"or {_NOT_REENTRANT}, or a first-order algorithm"
        )


def _refuse_cut() -> None:
    raise ValueError(
        "the backward pass of an autograd function computes with detached tensors, or under torch.no_grad() as @once_differentiable does, "
        "so that it cannot be differentiated again, as MAML must: leave those out and compute with ctx.saved_tensors as they come, or use "
        'a first-order algorithm ("reptile", "fomaml")'
    )


@torch.enable_grad()
def _original(leaf: Tensor) -> object:
    """The tensor that a leaf's gradient belongs to: another, for one that was saved under hooks and is handed out again."""
    node = leaf.view_as(leaf).grad_fn
    return None if node is None else getattr(node.next_functions[0][0], "variable", None)


def _measures(module: nn.Module) -> dict[str, object]:
    """What a module keeps besides parameters, buffers and modules: plain values, tensors, how much its containers hold."""
    kept = {name: value for name, value in vars(module).items() if name not in ("_parameters", "_buffers", "_modules")}
    return {
        name: _Held(id(value), _version(value)) if isinstance(value, Tensor) else len(value) if isinstance(value, _CONTAINERS) else value
        for name, value in kept.items()
        if isinstance(value, (bool, int, float, str, Tensor, *_CONTAINERS))
    }


def _refuse_moved(kind: str, name: str) -> None:
    raise ValueError(
        f"the {kind} {name!r} changes in the forward pass, and what is recomputed in the backward pass reads it as it is by then, so the "
        "gradient would not be the loss's: leave that module, and what counts or records there, out of activation checkpointing, or call "
        "eval() on it where that keeps it still, as it does spectral normalisation"
    )


def _reason(text: str) -> str | None:
    """What to say in place of an error of torch's; ``None`` for one that says it all."""
    if "use_reentrant=True" in text:
        return (
            "torch.utils.checkpoint with use_reentrant=True, or with nothing said of it, gives no gradient for chosen weights, which a "
            f"game asks for; {_NOT_REENTRANT}"
        )
    if "under selective activation checkpoint" in text or "selective activation checkpoint has been" in text:
        return "selective activation checkpointing can be differentiated once only, but MAML goes through it twice; leave context_fn out"
    if "'_GeneratorContextManager' object has no attribute" in text:  # contextlib's, for one that is entered again
        return (
            "the contexts of torch.utils.checkpoint(..., context_fn=...), which debug=True sets too, are entered more often than they can "
            "be: MAML, and losses() that both players share, go back through a loss more than once; leave them out"
        )
    if text.startswith("torch.utils.checkpoint:"):
        return (
            "what is recomputed in the backward pass is not what the forward pass computed: activation checkpointing wants a module that "
            "does the same whenever it is called with the same inputs, and in MAML none with instance normalisation in a loss that takes a "
            f"gradient itself ({text[:200]})"
        )
    return None


def _statistics(pair: nn.Module) -> set[int]:
    """Buffers that the pass which changes them does not look at: the running statistics of normalisation layers."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return {id(buffer) for module in pair.modules() if isinstance(module, kinds) for buffer in module.buffers(recurse=False)}


def _tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (item for item in value if isinstance(item, Tensor))


def _in_autograd_function(method: str, *, directly: bool = False) -> bool:
    """Whether this method of an autograd function is running, or (``directly``) calls the operation that is being seen."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        values = frame.f_locals.values() if frame.f_code.co_name == method else ()
        if any(isinstance(value, torch.autograd.function.FunctionCtx) for value in values):
            return True
        if directly and frame.f_globals.get("__name__") not in (__name__, *_TENSOR_CODE):
            return False
        frame = frame.f_back
    return False


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
