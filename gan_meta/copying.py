"""Copies of a pair, and of the objective it plays with, that share no state with the originals.

``copy.deepcopy`` is not enough. It loses the gradient hooks of parameters; functions that closed over the pair (hooks, a replaced
``forward``) and weak references go on looking at the original; tensors with a graph (torch's old weight normalisation, pruning, a kept
feature map) make it fail, and in older torch random generators.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_meta.contents import hooks_of, is_filled, is_flat, is_plain, kept_by_class, parts_of, reach

Value = TypeVar("Value")

SHARED_BYTES = 2**20
"""An objective's tensors above this size are not copied for a game, but shared and watched: a game that writes to one is refused."""

_REGISTERS = {"_backward_hooks": "register_hook", "_post_accumulate_grad_hooks": "register_post_accumulate_grad_hook"}


class Copier:
    """Copies values, one copy for one original, so that references among them stay references among the copies.

    Args:
        roots: what is copied. A function, or a weak reference, is copied where it leads to something that is held by these, and then
            stands for the copy; what else a function holds of the world outside stays as it is.
        known: what stands for an original already, by the original's identity; itself, for what is not to be copied.

    Attributes:
        may_share: whether large tensors and modules compiled, or made by torch.jit, are shared instead of copied from here on.
        shared: the tensors that were not copied, with their versions.
    """

    def __init__(self, roots: Iterable[object], known: Mapping[int, Any] | None = None) -> None:
        self._roots = list(roots)
        self._memo: dict[int, Any] = dict(known or {})
        self._originals: list[Any] = []
        self.may_share = False
        self.shared: list[tuple[Tensor, int]] = []

    def copy(self, value: Value) -> Value:
        """The value's copy.

        Raises:
            TypeError: for what cannot be copied, such as a generator that has begun.
        """
        if is_plain(value):
            return value
        if id(value) in self._memo:
            return cast(Value, self._memo[id(value)])
        return cast(Value, self._made(value))

    @functools.cached_property
    def _inside(self) -> dict[int, Any]:
        return reach(self._roots, through_functions=False)

    def _note(self, value: object, copied: Any) -> Any:
        self._memo[id(value)] = copied
        self._originals.append(value)  # kept alive, so that no other value gets its identity
        return copied

    def _made(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, torch.Generator):
            copied = self._note(value, torch.Generator(value.device))
            return copied.set_state(value.get_state())
        if isinstance(value, types.FunctionType):
            return self._function(value) if self._leads_inside(value) else self._note(value, value)
        if isinstance(value, types.MethodType):
            return types.MethodType(self.copy(value.__func__), self.copy(value.__self__))
        if isinstance(value, weakref.ref):
            return self._note(value, weakref.ref(self.copy(value())) if id(value()) in self._inside else value)
        if is_flat(value):
            return self._note(value, copy.copy(value))
        if type(value) is tuple:
            return value if all(map(is_plain, value)) else self._note(value, tuple(self.copy(item) for item in value))
        if isinstance(value, nn.Module) and self.may_share and (_is_compiled(value) or isinstance(value, torch.jit.ScriptModule)):
            self.shared += [(tensor, tensor._version) for tensor in (*value.parameters(), *value.buffers())]
            return self._note(value, value)
        return self._object(value)

    def _tensor(self, value: Tensor) -> Tensor:
        if self.may_share and value.is_leaf and value.nbytes > SHARED_BYTES and not value.is_inference():
            self.shared.append((value, value._version))
            return cast(Tensor, self._note(value, value))
        # A graph belongs to the step that made it, so what is kept of such a tensor is its values.
        copied = self._note(value, copy.deepcopy(value, self._memo) if value.is_leaf else value.detach().clone())
        vars(copied).update({name: self.copy(item) for name, item in vars(value).items()})
        for kind, register in _REGISTERS.items():
            for hook in list(hooks_of(value, kind).values()):
                with _requiring_gradient(copied):
                    getattr(copied, register)(self.copy(hook))
        return cast(Tensor, copied)

    def _function(self, value: types.FunctionType) -> types.FunctionType:
        old_cells = value.__closure__ or ()
        cells = tuple(self._memo[id(cell)] if id(cell) in self._memo else self._note(cell, types.CellType()) for cell in old_cells)
        copied = types.FunctionType(value.__code__, value.__globals__, value.__name__, None, cells)
        self._note(value, copied)
        for cell, old in zip(cells, old_cells, strict=True):
            if is_filled(old) and not is_filled(cell):
                cell.cell_contents = self._if_inside(old.cell_contents)
        copied.__qualname__, copied.__module__, copied.__doc__ = value.__qualname__, value.__module__, value.__doc__
        copied.__defaults__ = value.__defaults__ and tuple(self._if_inside(item) for item in value.__defaults__)
        copied.__kwdefaults__ = value.__kwdefaults__ and {name: self._if_inside(item) for name, item in value.__kwdefaults__.items()}
        vars(copied).update({name: self._if_inside(item) for name, item in vars(value).items()})
        return copied

    def _if_inside(self, value: Any) -> Any:
        return self.copy(value) if self._leads_inside(value) else value

    def _leads_inside(self, value: object) -> bool:
        return bool(parts_of(value)) and any(
            number in self._inside for number, item in reach([value]).items() if not isinstance(item, tuple)
        )

    def _object(self, value: Any) -> Any:
        if isinstance(value, torch.jit.ScriptModule) and any(weight.requires_grad for weight in value.parameters()):
            raise TypeError(
                f"a network made by torch.jit ({value.original_name}) cannot be copied for a game, since its copies' weights cannot be "
                "trained; give the pair the module that it was made of"
            )
        if isinstance(value, nn.Module) and parametrize.is_parametrized(value):  # it refuses to tell its state
            copied = self._note(value, type(value).__new__(type(value)))
            state = {**kept_by_class(value), **vars(value)}
            vars(copied).update(self.attributes(value, {name: item for name, item in state.items() if name != "_compiled_call_impl"}))
            return copied
        if hasattr(type(value), "__deepcopy__"):
            return self._note(value, value.__deepcopy__(self._memo))
        reduced = value.__reduce_ex__(4)
        return self._note(value, value) if isinstance(reduced, str) else self._rebuilt(value, *reduced)

    def _rebuilt(
        self, value: Any, make: Any, arguments: Any, state: Any = None, items: Any = None, pairs: Any = None, _setter: Any = None
    ) -> Any:
        """An object from what it says of itself for pickling; that is how ``copy.deepcopy`` makes one."""
        copied = self._note(value, make(*(self.copy(argument) for argument in arguments)))
        if _is_players_or_objective(value) and (state is None or type(state) is dict):
            state = {**kept_by_class(value), **(state or {})} or state
        if state is not None:
            state = self.attributes(value, state) if type(state) is dict else self.copy(state)
            if hasattr(copied, "__setstate__"):
                copied.__setstate__(state)
            else:
                own, slots = state if isinstance(state, tuple) else (state, None)
                vars(copied).update(own) if own else None
                for name, item in (slots or {}).items():
                    setattr(copied, name, item)
        for item in items or ():
            copied.append(self.copy(item))
        for key, item in pairs or ():
            copied[self.copy(key)] = self.copy(item)
        return copied

    def attributes(self, owner: object, state: Mapping[str, Any]) -> dict[str, Any]:
        """Copies of an object's attributes; what cannot be copied, such as a lock or an open file, a module or objective shares."""
        copied: dict[str, Any] = {}
        for name, value in state.items():
            mark = len(self._originals)
            try:
                copied[name] = self.copy(value)
            except TypeError as error:
                if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
                    raise TypeError(
                        f"{type(owner).__name__}.{name} is an iterator that cannot be copied, so that a game would go on where the one "
                        "before stopped: keep a list and choose from it by the game's step, or draw from torch's global generator"
                    ) from error
                if name in _OF_MODULES or not _is_players_or_objective(owner):
                    raise
                for original in self._originals[mark:]:
                    self._memo.pop(id(original), None)
                del self._originals[mark:]
                copied[name] = self._note(value, value)
        return copied


_OF_MODULES = ("_modules", "_parameters", "_buffers")


@contextlib.contextmanager
def _requiring_gradient(tensor: Tensor) -> Iterator[None]:
    """Only such a tensor takes a hook; a weight that was frozen afterwards has it all the same."""
    flag = tensor.requires_grad
    tensor.requires_grad_(True)
    try:
        yield
    finally:
        tensor.requires_grad_(flag)


def _is_players_or_objective(value: object) -> bool:
    return isinstance(value, nn.Module) or hasattr(value, "discriminator_loss")


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
