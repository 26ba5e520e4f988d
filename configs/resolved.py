"""A config that was resolved before, from its JSON: what the launcher starts a sweep's members with.

python -m toto_jax.main --config=configs/resolved.py:runs/sweep/configs/a.json --workdir=runs/sweep/a
"""

import pathlib

from ml_collections import ConfigDict

from toto_jax.config import from_json


def get_config(path: str) -> ConfigDict:
    return from_json(pathlib.Path(path).read_text())
