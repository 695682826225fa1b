"""Published pix2pixHD weights, into the networks of this package."""

from __future__ import annotations

import os

from torch import nn

from gan_meta.models.weights import StateDict, load_strictly, read_state_dict


def load_official_weights(module: nn.Module, state_dict: StateDict | str | os.PathLike[str]) -> None:
    """Load a published checkpoint (``latest_net_G.pth``, ``latest_net_D.pth``) into one of this package's networks.

    Args:
        module: built with the arguments the checkpoint was trained with.
        state_dict: the published state dict, or the path of a ``.pth`` or ``.safetensors`` file that holds it.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is not a plain state dict, or does not fit: the message names the missing, unexpected and
            mis-shaped keys, and nothing is loaded.
    """
    if isinstance(state_dict, str | os.PathLike):
        state_dict = read_state_dict(state_dict)
    load_strictly(module, state_dict)
