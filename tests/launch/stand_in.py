"""A Python for launches that stands in for the real one: it runs the dummy trainer in place of toto_jax.main."""

import pathlib
import sys

DUMMY = pathlib.Path(__file__).with_name("dummy_trainer.py")
_TEXT = """#!/bin/sh
if [ "$2" = toto_jax.main ]; then
    for word in "$@"; do
        case "$word" in --workdir=*) folder="${word#--workdir=}" ;; esac
    done
    echo "FROM_SETUP ${FROM_SETUP:-}"
    exec "PYTHON" "DUMMY" "$folder" TURNS
fi
exec "PYTHON" "$@"
"""


def stand_in(path: pathlib.Path, turns: str) -> str:
    """Writes it, for trainers that end with these codes in turn, and returns its path."""
    text = _TEXT.replace("PYTHON", sys.executable).replace("DUMMY", str(DUMMY)).replace("TURNS", turns)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)
