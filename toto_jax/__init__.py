"""Autoregressive pre-training from videos, in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toto_jax.pretrained import from_pretrained, save_pretrained
    from toto_jax.tokenizers.loading import load_tokenizer

__version__ = "0.1.0"
__all__ = ["from_pretrained", "load_tokenizer", "save_pretrained"]

# Imported when first asked for: an entry point sets up its devices before JAX is imported.
_HOMES = {
    "from_pretrained": "toto_jax.pretrained",
    "load_tokenizer": "toto_jax.tokenizers.loading",
    "save_pretrained": "toto_jax.pretrained",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
