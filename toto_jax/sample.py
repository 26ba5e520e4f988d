"""Continues a video: prompt frames in, dreamt frames out, as GIF, MP4 and contact sheet.

python -m toto_jax.sample --workdir=runs/quickstart --video=clip.mp4 [--prompt_frames=4] [--frames=8] [--samples=3]
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags

from toto_jax.command_line import run_command
from toto_jax.data.clip_cutting import cut_clips
from toto_jax.data.media import file_item
from toto_jax.evaluation.pictures import Strip, contact_sheet, side_by_side, write_gif, write_mp4, write_png
from toto_jax.evaluation.results import Animation
from toto_jax.pretrained import from_pretrained
from toto_jax.settings import parse

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run, or one of its checkpoints.", required=True
)
_VIDEO = flags.DEFINE_string(
    "video", None, "The video to continue: a file, or a folder of frames.", required=True
)
_OUT = flags.DEFINE_string("out", "continuation", "Where to write: <out>.gif, <out>.mp4 and <out>.png.")
_PROMPT_FRAMES = flags.DEFINE_integer(
    "prompt_frames", None, "Frames taken from the video; half a clip by default."
)
_FRAMES = flags.DEFINE_integer("frames", None, "Frames to dream up; half a clip by default.")
_SAMPLES = flags.DEFINE_integer("samples", 3, "How many different continuations.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.9, "0 takes the likeliest code each time.")
_TOP_K = flags.DEFINE_integer("top_k", 0, "Draw from the k likeliest codes; 0 for all.")
_TOP_P = flags.DEFINE_float("top_p", 0.95, "Draw from the likeliest codes of this probability; 1 for all.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the place in the video, the crop and the draws.")


def sample() -> None:
    """Reads the prompt, continues it, and writes what came out."""
    toto = from_pretrained(_WORKDIR.value)
    half = toto.geometry.frames // 2
    prompt_frames, frames = _PROMPT_FRAMES.value or half, _FRAMES.value or half
    clips = dataclasses.replace(
        parse(toto.config).clips, frames=prompt_frames, per_video=1, every_seconds=0.0
    )
    video = pathlib.Path(_VIDEO.value)
    item = file_item(video.name, str(video))
    (clip,) = cut_clips(item, None, clips, _SEED.value)
    prompt_BFHWC = np.repeat(clip.video_FHWC[None], _SAMPLES.value, axis=0)
    new_BFHWC = toto.continue_video(
        prompt_BFHWC, frames, _TEMPERATURE.value, _TOP_K.value, _TOP_P.value, _SEED.value
    )
    whole_BFHWC = np.concatenate([prompt_BFHWC, new_BFHWC], axis=1)
    strips = [Strip(f"sample {n + 1}", video, prompt_frames) for n, video in enumerate(whole_BFHWC)]
    scale = max(1, 128 // toto.config.clips.size)
    animation = Animation(side_by_side(strips, scale), (clip.record.clip_rate or 8), "")
    out = pathlib.Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_gif(out.with_suffix(".gif"), animation)
    write_mp4(out.with_suffix(".mp4"), animation)
    write_png(out.with_suffix(".png"), contact_sheet(strips, scale))
    print(f"{prompt_frames} frames of {item.name} (grey) and {frames} dreamt ones (blue), step {toto.step}:")
    print(f"  {out.with_suffix('.gif')}\n  {out.with_suffix('.mp4')}\n  {out.with_suffix('.png')}")


if __name__ == "__main__":
    run_command(sample)
