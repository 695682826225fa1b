"""export_onnx(): a generator as an ONNX file that other runtimes draw with, compared with the original before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_meta.files import replacing
from gan_meta.pair import GANPair
from gan_meta.seeds import random_state, seeded

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
        ValueError: for inputs of fewer than two samples, a generator that draws random numbers or cannot be written as ONNX, or when the
            file's output differs by more; nothing is kept then.
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if not arguments or min(len(tensor) for tensor in arguments) < 2:
        raise ValueError("export_onnx needs inputs of at least two samples, so that the number of samples can stay free in the file")
    _require()
    generator = pair.clone().generator.eval().cpu()
    arguments = tuple(tensor.detach().cpu() for tensor in arguments)
    _check(generator, arguments)
    with replacing(Path(path)) as partial:
        _write(generator, arguments, str(partial))
        worst = max(_difference(generator, given, str(partial)) for given in (arguments, tuple(a[:1] for a in arguments)))
        if not worst <= tolerance:
            raise ValueError(
                f"the ONNX file's output differs from the generator's by {worst:.2g}, more than {tolerance:.2g}; it was not kept"
            )
    return worst


def _check(generator: torch.nn.Module, arguments: tuple[Tensor, ...]) -> None:
    """See that the generator's answer is one tensor, and that nothing is drawn for it.

    A file's own random numbers would be others than torch's, and those of numpy or Python would be constants.
    """
    with torch.no_grad(), seeded(0):
        before = random_state()
        drawn = generator(*arguments)
        if not isinstance(drawn, Tensor):
            raise ValueError(f"the generator returns a {type(drawn).__name__}; an ONNX file is made of one that returns one tensor")
        if before != random_state():
            raise ValueError(
                "the generator draws random numbers, also in eval(), which an ONNX file cannot repeat: give it the noise as an input, and "
                "export it with inputs=(..., noise)"
            )


def _require() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"exporting to ONNX needs the package {error.name!r}: pip install gan-meta[onnx]") from error


def _write(generator: torch.nn.Module, arguments: tuple[Tensor, ...], path: str) -> None:
    samples = torch.export.Dim("samples", min=1)
    shapes = tuple({0: samples} for _ in arguments)
    try:
        program = torch.onnx.export(generator, arguments, dynamo=True, verbose=False, dynamic_shapes=shapes)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ValueError(f"torch cannot write this generator as ONNX for any number of samples: {reason}") from error
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
