"""One image -> an upright RGB picture, with its size checked before it is decoded."""

import pathlib
from typing import TYPE_CHECKING, BinaryIO

from toto_jax.data.clips import check_pixels
from toto_jax.errors import DataError, require

if TYPE_CHECKING:
    from PIL.Image import Image


def read_image(source: pathlib.Path | BinaryIO, size: int, max_pixels: int) -> "Image":
    """Reads an image as RGB, turned the way that its EXIF orientation says.

    Args:
      source: a file or a seekable stream with a name, in any format that Pillow reads; of an animation, the first
        frame.
      size: what the shortest side will become, for the check of its size.
      max_pixels: `config.clips.max_pixels`.

    Returns:
      A Pillow image of mode RGB. Grey and palettes become RGB, and transparent parts white.

    Raises:
      DataError: if it is missing, truncated, no image, or too large; it names the file, not its folder.
    """
    pillow, orientation = require("PIL.Image", "train"), require("PIL.ImageOps", "train")
    # Pillow's own limit is for the whole process and, up to twice itself, only a warning: ours replaces it.
    pillow.MAX_IMAGE_PIXELS = None
    try:
        with pillow.open(source) as image:
            check_pixels(image.height, image.width, size, max_pixels)
            image.load()
            return _rgb(orientation.exif_transpose(image))
    except DataError as error:
        raise DataError(f"{source.name} {error}") from None
    except FileNotFoundError:
        raise DataError(f"{source.name} does not exist") from None
    except pillow.UnidentifiedImageError:
        raise DataError(f"{source.name} is not an image, whatever its extension says") from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        # The system's errors name the folder too.
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{source.name} can't be decoded: {reason}") from error


def _rgb(image: "Image") -> "Image":
    """Returns the image in mode RGB.

    Pillow's plain conversion would clip 16-bit greys and show the hidden colours of transparent pixels.
    """
    if image.mode.startswith("I"):
        return image.point(lambda value: value / 256).convert("L").convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = require("PIL.Image", "train").new("RGBA", image.size, "white")
        return require("PIL.Image", "train").alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
