"""The one on-disk format: a safetensors file whose header holds a JSON document; written atomically, never pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gan_meta.files import json_text, parse_json, replacing
from gan_meta.game.rates import add_learned_rates, is_rate
from gan_meta.naming import named_as
from gan_meta.pair import PLAYERS, GANPair
from gan_meta.weight_values import kind_of, value_problems

FORMAT = "gan-meta"
VERSION = 1
PAIR = "pair."
"""Prefix of the pair's tensors in a training checkpoint."""
_UNSAVEABLE = (torch.complex128, torch.complex32)
EXTRA = "extra/"
"""Prefix of a pair file's further tensors; no parameter's name has a slash."""


class CheckpointError(ValueError):
    """A file that cannot be used as what was asked for; the message says which file, why, and what to do."""


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors and a JSON document into one file; an earlier file stays whole until the new one is complete.

    Raises:
        OSError: when the folder cannot be written or the disk is full; nothing is left behind then.
        TypeError: for an entry that is no tensor, or of a type that safetensors cannot hold (complex128, among others).
    """
    path = Path(path)
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.dtype in _UNSAVEABLE:
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(
                f"cannot write {path}: {name} is of type {kind}, which a safetensors file cannot hold; leave it out, or convert it"
            )
    # One owner an entry: safetensors refuses tensors that share memory, and a later in-place step must not reach the file.
    own = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    try:
        with replacing(path) as partial:
            save_file(own, partial, metadata={"format": FORMAT, "version": str(VERSION), "document": json_text(document)})
            _order_header(partial)
    except SafetensorError as error:
        raise OSError(f"could not write {path}: {error}") from error


def _order_header(path: Path) -> None:
    """Give the header's entries one order: safetensors writes its metadata in one that changes from call to call."""
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        if len(ordered) == length:  # a header that would grow stays as it is: its length says where the tensors begin
            file.seek(8)
            file.write(ordered)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        CheckpointError: when it is not a safetensors file, was not written here, or is of a later version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as opened:
            document = _document(path, opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a readable safetensors file ({error}); it may be truncated") from error
    return tensors, document


def _document(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by gan-meta: its header has no {FORMAT!r} entry")
    version = metadata.get("version", "")
    if not version.isascii() or not version.isdigit() or len(version) > 9 or "document" not in metadata:
        raise CheckpointError(f"{path} is damaged: its header has no proper version and document")
    if int(version) > VERSION:
        raise CheckpointError(f"{path} has format version {version}, this release reads up to {VERSION}; upgrade gan-meta")
    try:
        return parse_json(metadata["document"], f"the header of {path}")
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def save_pair(pair: GANPair, path: str | Path, facts: Mapping[str, Any] | None = None, extra: Mapping[str, Tensor] | None = None) -> None:
    """Save a pair's weights with its model name and arguments, so that :func:`load_pair` can build it again.

    Args:
        facts: further JSON-able facts to keep in the file, for example how the weights were trained.
        extra: further tensors to keep in the file, for example the samples that the pair was adapted to; see :func:`load_extra`.

    Raises:
        OSError: when the file cannot be written.
        TypeError: when the model's arguments or the facts cannot be put into JSON.
    """
    document = {**describe_pair(pair), "facts": dict(facts or {})}
    kept = {f"{EXTRA}{name}": tensor for name, tensor in (extra or {}).items()}
    save_tensors(path, {**pair.state_dict(), **kept}, document)


def describe_pair(pair: GANPair) -> dict[str, Any]:
    """What a file says of a pair, so that it can be built again: its model's name and arguments."""
    return {"model": pair.model_name, "arguments": pair.model_arguments}


def load_pair(path: str | Path, into: GANPair | None = None) -> GANPair:
    """The pair that :func:`save_pair` saved, or that of a training checkpoint: the newest, a numbered or the best one.

    Weights come back in the precision that they were saved in.

    Args:
        into: a pair of the same architecture and precision to load the weights into and return; needed for a pair that was made by
            hand rather than by ``gan_meta.models.create``. Names may differ by what DataParallel or torch.compile add to them.

    Raises:
        FileNotFoundError: when there is no such file.
        CheckpointError: when the file is none of ours, names no model while ``into`` is missing, does not fit, holds another precision
            than ``into``, or values that are no weights: not finite, of size 1e9 or more, or of another kind than the pair's (boolean,
            integer, real, complex).
    """
    tensors, document = load_tensors(path)
    is_training = any(name.startswith(PAIR) for name in tensors)
    if is_training:
        tensors = {name.removeprefix(PAIR): tensor for name, tensor in tensors.items() if name.startswith(PAIR)}
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(EXTRA)}
    if "arguments" not in document and not is_training:
        raise CheckpointError(f"{path} holds no pair")
    pair = into if into is not None else _described_pair(path, document, tensors)
    tensors = named_as(tensors, pair.state_dict())
    if into is None:
        _take_types(pair, tensors)
    else:
        check_types(path, pair, tensors)
    load_state(path, pair, tensors)
    return pair


def _take_types(pair: GANPair, tensors: Mapping[str, Tensor]) -> None:
    """Give a pair's entries the types that they have in a file, and what no file holds that of all real numbers there, if it is one."""
    real = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    for name, own in (*pair.named_parameters(), *pair.named_buffers()):
        given = tensors[name].dtype if name in tensors else next(iter(real)) if len(real) == 1 and own.is_floating_point() else own.dtype
        if kind_of(given) == kind_of(own.dtype):
            own.data = own.data.to(given)


def check_types(path: str | Path, pair: GANPair, tensors: Mapping[str, Tensor]) -> None:
    """Refuse to round a file's numbers, or to widen them, without being told to.

    Raises:
        CheckpointError: naming the entries whose types differ.
    """
    differ = [
        f"{name} is {_word(tensors[name])} in the file and {_word(own)} in the pair"
        for name, own in pair.state_dict().items()
        if name in tensors and tensors[name].dtype != own.dtype and kind_of(tensors[name].dtype) == kind_of(own.dtype)
    ]
    if differ:
        kinds = sorted({_word(tensor) for tensor in tensors.values() if tensor.is_floating_point()})
        raise CheckpointError(
            f"{path} does not fit the pair: {'; '.join(differ[:3])} ({len(differ)} differ); convert the pair first, for example by "
            f"pair.to(torch.{kinds[0] if kinds else 'float32'}), and again after loading if need be"
        )


def _word(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def load_state(path: str | Path, pair: GANPair, tensors: Mapping[str, Tensor]) -> None:
    """Copy a file's tensors into a pair, if names and shapes are the same and all values are weights.

    Raises:
        CheckpointError: naming the differences, or what is no weight (:mod:`gan_meta.weight_values`); nothing is copied then.
    """
    check_tensors(path, pair.state_dict(), tensors)
    pair.load_state_dict(tensors)


def check_tensors(path: str | Path, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], of: str = "the pair") -> None:
    """See that a file's tensors have the names and shapes of those expected, and are values for them.

    Raises:
        CheckpointError: naming the differences, or what is no weight.
    """
    problems = [f"missing {name}" for name in expected.keys() - tensors.keys()]
    problems += [f"unexpected {name}" for name in tensors.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(tensors[name].shape)} in the file and {tuple(expected[name].shape)} in {of}"
        for name in expected.keys() & tensors.keys()
        if expected[name].shape != tensors[name].shape
    ]
    if problems:
        raise CheckpointError(f"{path} does not fit {of}: {'; '.join(sorted(problems)[:5])} ({len(problems)} differences)")
    wrong = value_problems(expected, tensors)
    if wrong:
        raise CheckpointError(f"{path} holds what are no weights: {'; '.join(wrong[:5])} ({len(wrong)} of {len(expected)} tensors)")


def _described_pair(path: str | Path, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> GANPair:
    """The pair that a file describes, built only once it is known to be no larger than the file's own tensors."""
    if "arguments" not in document:
        raise CheckpointError(
            f"{path} is a training checkpoint of an earlier version, which does not say what model it holds; build the pair and pass it as "
            "into="
        )
    name, arguments = document.get("model"), document["arguments"]
    if name is None:
        raise CheckpointError(f"{path} was saved from a pair made by hand; build that pair and pass it as into=")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise CheckpointError(f"{path} is damaged: its model must be a name, and its arguments an object")
    from gan_meta.models.outline import create_within  # models are only needed, and imported, when one has to be built

    held = sum(tensor.numel() for tensor in tensors.values())
    try:
        pair = create_within(name, arguments, dict.fromkeys(PLAYERS, held), len(tensors))
    except ValueError as error:
        raise CheckpointError(f"{path} describes a pair that cannot be built: {error}") from error
    return add_learned_rates(pair) if any(is_rate(tensor) for tensor in tensors) else pair


def load_extra(path: str | Path) -> dict[str, Tensor]:
    """The further tensors that :func:`save_pair` was given, by name; empty where there were none."""
    return {name.removeprefix(EXTRA): tensor for name, tensor in load_tensors(path)[0].items() if name.startswith(EXTRA)}


def pair_facts(path: str | Path) -> dict[str, Any]:
    """The JSON document of a saved pair: its model, arguments and facts."""
    return load_tensors(path)[1]
