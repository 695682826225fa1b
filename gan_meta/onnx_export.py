"""export_onnx(): a generator as an ONNX file that other runtimes draw with, compared with the original before it is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_meta.pair import GANPair

TOLERANCE = 1e-4
"""Largest absolute difference allowed between the file's output and the generator's, for images in [-1, 1]."""


def export_onnx(pair: GANPair, path: str | Path, inputs: Tensor | Sequence[Tensor], tolerance: float = TOLERANCE) -> float:
    """Write the generator to an ONNX file with a free number of samples, and compare it with the original on two sizes of batch.

    Needs the ``onnx`` extra: ``pip install gan-meta[onnx]``.

    Args:
        pair: untouched; exported as in ``eval()`` mode, so that dropout is off and batch norm uses its statistics.
        path: the file; an earlier one stays whole until the new one has passed.
        inputs: what the generator takes, at least two samples: one tensor (N, ...) or several.
        tolerance: largest allowed absolute difference.

    Returns:
        The largest absolute difference that was found.

    Raises:
        ImportError: when onnx, onnxscript or onnxruntime is not installed.
        ValueError: for inputs of fewer than two samples, or when the file's output differs by more; nothing is kept then.
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if not arguments or min(len(tensor) for tensor in arguments) < 2:
        raise ValueError("export_onnx needs inputs of at least two samples, so that the number of samples can stay free in the file")
    _require()
    generator = pair.clone().generator.eval().cpu()
    arguments = tuple(tensor.detach().cpu() for tensor in arguments)
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".onnx", dir=path.parent)
    os.close(handle)
    try:
        _write(generator, arguments, temporary)
        worst = max(_difference(generator, arguments, temporary), _difference(generator, tuple(a[:1] for a in arguments), temporary))
        if not worst <= tolerance:
            raise ValueError(
                f"the ONNX file's output differs from the generator's by {worst:.2g}, more than {tolerance:.2g}; it was not kept"
            )
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return worst


def _require() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"exporting to ONNX needs the package {error.name!r}: pip install gan-meta[onnx]") from error


def _write(generator: torch.nn.Module, arguments: tuple[Tensor, ...], path: str) -> None:
    samples = torch.export.Dim("samples", min=1)
    program = torch.onnx.export(generator, arguments, dynamo=True, verbose=False, dynamic_shapes=tuple({0: samples} for _ in arguments))
    assert program is not None
    program.save(path, external_data=False)


def _difference(generator: torch.nn.Module, arguments: tuple[Tensor, ...], path: str) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    found = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, arguments, strict=True)})[0]
    with torch.no_grad():
        expected = generator(*arguments).numpy()
    return float(np.abs(found - expected).max())
