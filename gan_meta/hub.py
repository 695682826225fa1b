"""Pairs on the Hugging Face Hub: a folder that holds a pair and its card, pushed and fetched on request, never by itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_meta.checkpoint import load_pair, pair_facts, save_pair
from gan_meta.files import write_text
from gan_meta.pair import GANPair

FILE = "pair.safetensors"
CARD = "README.md"


def save_pretrained(pair: GANPair, folder: str | Path, facts: Mapping[str, Any] | None = None) -> Path:
    """Write a pair and its card into a folder, as it would lie in a repository; nothing is sent anywhere.

    Args:
        folder: made if it is not there.
        facts: as for :func:`gan_meta.save_pair`; they are also written into the card.

    Returns:
        The path of the pair's file.

    Raises:
        OSError, TypeError: as for :func:`gan_meta.save_pair`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_pair(pair, folder / FILE, facts)
    write_text(folder / CARD, _card(pair, pair_facts(folder / FILE)))
    return folder / FILE


def push(
    pair: GANPair,
    repo_id: str,
    facts: Mapping[str, Any] | None = None,
    *,
    private: bool = True,
    token: str | None = None,
    message: str = "A pair from gan-meta",
) -> str:
    """Upload a pair and its card to a repository of the Hub, which is made if it is not there.

    Needs ``pip install gan-meta[hub]``, and a token that may write (``hf auth login``, or ``token=``).

    Returns:
        The commit's address.

    Raises:
        ImportError: when huggingface_hub is not installed.
        OSError: when the Hub refuses or cannot be reached (huggingface_hub's errors are subclasses).
    """
    api = _hub().HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(pair, folder, facts)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message).commit_url)


def from_pretrained(name: str | Path, *, revision: str | None = None, into: GANPair | None = None, token: str | None = None) -> GANPair:
    """The pair in a folder that :func:`save_pretrained` wrote, or in a repository of the Hub.

    Args:
        name: a folder if there is one of this name, otherwise a repository, ``"owner/name"``, which is downloaded (and kept in
            huggingface_hub's cache).
        revision: of the repository: a commit, branch or tag.
        into: as for :func:`gan_meta.load_pair`; needed for a pair that was made by hand.
        token: for private repositories.

    Raises:
        ImportError: when it is no folder and huggingface_hub is not installed.
        FileNotFoundError, CheckpointError: as for :func:`gan_meta.load_pair`.
        OSError: when the Hub refuses or cannot be reached.
    """
    if Path(name).is_dir():
        return load_pair(Path(name) / FILE, into)
    return load_pair(_hub().hf_hub_download(str(name), FILE, revision=revision, token=token), into)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError("the Hub needs the package huggingface_hub: pip install gan-meta[hub]") from error
    return huggingface_hub


def _card(pair: GANPair, document: Mapping[str, Any]) -> str:
    weights = sum(parameter.numel() for parameter in pair.parameters())
    how = 'gan_meta.hub.from_pretrained("owner/name")'
    if pair.model_name is None:
        how = 'gan_meta.hub.from_pretrained("owner/name", into=pair)   # pair: made by hand, build it first'
    return f"""---
library_name: gan-meta
tags: [gan, meta-learning, few-shot]
---

# {pair.model_name or "A GAN pair made by hand"}

{weights:,} weights. Load it with

```python
import gan_meta

pair = {how}
```

```json
{json.dumps(document, indent=2)}
```
"""
