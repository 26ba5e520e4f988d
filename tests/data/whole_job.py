"""A pre-tokenisation from its listing to its manifests, in this process and by one worker."""

import hashlib
import pathlib

from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.decoding import DecodingConfig
from toto_jax.data.manifest import Manifest
from toto_jax.data.pretokenization import open_job
from toto_jax.data.timeline import Timeline
from toto_jax.data.worker import Share
from toto_jax.tokenizers.base import Tokenizer
from toto_jax.tokenizers.pixels import PixelsTokenizer


def pretokenize(
    data: DataConfig,
    clips: ClipsConfig,
    decoding: DecodingConfig,
    tokenizer: Tokenizer | None,
    out: pathlib.Path,
    seed: int,
) -> dict[str, Manifest]:
    """Writes the shards of all media; None for the tokenizer writes raw frames."""
    tokenizer = tokenizer or PixelsTokenizer()
    job = open_job(data, clips, tokenizer.spec, out, seed, listed=False)
    return job.close(job.work(tokenizer, decoding, Share(0, 1), Timeline(keep=False)).complete)


def hashes(folder: pathlib.Path) -> dict[str, str]:
    """Returns SHA-256 of each file by its path below the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
