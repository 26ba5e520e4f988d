"""Tiny trees of files for the tests of layouts."""

import pathlib


def touch(root: pathlib.Path, *names: str, content: bytes = b"123") -> None:
    """Writes files, with their folders."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
