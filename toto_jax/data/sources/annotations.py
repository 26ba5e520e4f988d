"""The list files that come with a data set, and the folder that its media lie in."""

import pathlib

from toto_jax.errors import ConfigError, DataError


def media_folder(media: str) -> pathlib.Path:
    """Returns the folder that `config.data.media` names.

    Raises:
      DataError: if it isn't one.
    """
    root = pathlib.Path(media)
    if not root.is_dir():
        raise DataError(f"config.data.media={media!r} is not a folder (looked in {pathlib.Path.cwd()})")
    return root


def annotation_files(root: pathlib.Path, annotations: tuple[str, ...], wanted: str) -> list[pathlib.Path]:
    """Returns the files that `config.data.annotations` names: relative to the folder of media, or absolute.

    Args:
      root: the folder of media.
      annotations: names.
      wanted: what they should be, for errors.

    Raises:
      ConfigError: if there are none.
      DataError: if one is no file.
    """
    if not annotations:
        raise ConfigError(f"config.data.annotations is empty: this layout needs {wanted}")
    paths = [root / name for name in annotations]
    for name, path in zip(annotations, paths, strict=True):
        if not path.is_file():
            raise DataError(
                f"config.data.annotations names {name!r}, but there is no file {path}; it should be {wanted}"
            )
    return paths


def read_text(path: pathlib.Path) -> str:
    """Returns the text of a list file, with or without a byte-order mark.

    Raises:
      DataError: if it is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error}") from None
