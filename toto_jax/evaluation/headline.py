"""The head of a report: what the run is, and its few numbers beside what they have to beat."""

from collections.abc import Iterator

from toto_jax.evaluation.descriptions import EVALUATORS, TASKS, Description, Measure
from toto_jax.evaluation.page import Html, element, grid, joined, magnitude, number, prose, readable
from toto_jax.evaluation.run_files import RunFiles

_TILES = 4
_TRANSFORMERS = ("next_token", "patch_to_patch", "patch_to_code")
# Of an evaluator that no description knows, so many of its numbers.
_UNDESCRIBED = 3


def headline(run: RunFiles) -> Html:
    """Returns name, purpose, tiles and the table of key numbers."""
    parts = [element("p", "toto_jax · report of a run", class_="eyebrow"), element("h1", run.name)]
    purpose = TASKS.get(run.setting("task"))
    if purpose:
        parts.append(element("div", prose(purpose), class_="lede"))
    parts += [prose(sentence) for sentence in _facts(run)]
    found = list(_measured(run))
    tiles = [
        _tile(number(run.results[name].numbers[key], measure.unit or key), measure.label)
        for name, key, measure, _ in found
        if measure.tile
    ]
    positions = _patches_of_a_clip(run) or _codes_of_a_clip(run)
    if run.training and positions and run.setting("task") in _TRANSFORMERS:
        seen = run.training[-1]["step"] * run.setting("train.batch_size") * positions
        what = "patches" if _patches_of_a_clip(run) else "codes"
        tiles.append(_tile(magnitude(seen), f"{what} learned from, in {run.training[-1]['step']:,} steps"))
    if tiles:
        parts.append(element("div", *tiles[:_TILES], class_="tiles"))
    in_table = [row for row in found if row[2].references or not row[2].tile]
    if in_table:
        parts.append(_key_numbers(run, in_table))
    return joined(parts)


def _tile(value: str, label: str) -> Html:
    return element("div", element("strong", value), element("span", label), class_="tile")


def _patches_of_a_clip(run: RunFiles) -> int | None:
    frames, size, side = (run.setting(key) for key in ("clips.frames", "clips.size", "patches.side"))
    if not (frames and size and side) or run.setting("task") not in ("patch_to_patch", "patch_to_code"):
        return None
    return frames * (size // side) ** 2


def _codes_of_a_clip(run: RunFiles) -> int | None:
    frames, size, halvings = (
        run.setting(key) for key in ("clips.frames", "clips.size", "tokenizer.halvings")
    )
    if not (frames and size and halvings):
        return None
    several = run.setting("tokenizer.kind") == "vqgan" and run.setting("tokenizer.codes_per_position")
    return frames * (size // 2**halvings) ** 2 * (several or 1)


def _facts(run: RunFiles) -> Iterator[str]:
    """Yields a sentence on the model, the clips and how far training got, as far as the config tells."""
    sentences = []
    layers, width = run.setting("model.layers"), run.setting("model.d_model")
    if run.setting("task") in _TRANSFORMERS and layers and width:
        sentences.append(f"This model has {layers} layers of width {width}.")
    patches, codes, size = _patches_of_a_clip(run), _codes_of_a_clip(run), run.setting("clips.size")
    if patches or codes:
        frames, codebook_size = run.setting("clips.frames"), run.setting("tokenizer.codebook_size")
        if patches:
            side = run.setting("patches.side")
            parts = f"{patches:,} patches of {side} × {side} pixels"
            if run.setting("task") == "patch_to_code":
                parts += f", each with a code out of {codebook_size:,}"
        else:
            parts = f"{codes:,} codes, each one of {codebook_size:,}"
        sentences.append(f"A clip is {frames} frames of {size} × {size} pixels: {parts}.")
    steps, batch = run.setting("train.steps"), run.setting("train.batch_size")
    if run.step is not None and steps and batch:
        so_far = "all" if run.step == steps else f"{run.step:,} of"
        sentences.append(f"It has learned for {so_far} {steps:,} steps of {batch:,} clips.")
    if origin := run.summary.get("started_from"):
        sentences.append(f"It started with the parameters of `{origin}`.")
    if sentences:
        yield " ".join(sentences)


def _measured(run: RunFiles) -> Iterator[tuple[str, str, Measure, str]]:
    """Yields (evaluator, scalar, measure, prefix) for what belongs at the head.

    An evaluator that runs on several sources of clips puts their names in front of its scalars: the prefix.
    """
    for name in run.evaluators():
        numbers = run.results[name].numbers if name in run.results else {}
        described = EVALUATORS.get(run.kind(name), Description("", "")).measures
        matches = [
            (name, key, measure, key.removesuffix(measure.name))
            for measure in described
            for key in numbers
            if _matches(key, measure, numbers)
        ]
        if not matches:
            matches = [
                (name, key, Measure(key, _plain(name, key)), "") for key in list(numbers)[:_UNDESCRIBED]
            ]
        yield from matches


def _matches(key: str, measure: Measure, numbers: dict[str, float]) -> bool:
    prefix = key.removesuffix(measure.name)
    if key == measure.name:
        return True
    # "first_frame_loss" ends like "loss", but no "first_frame_unigram_loss" stands beside it.
    return prefix.endswith("_") and all(prefix + other in numbers for other in measure.references)


def _plain(evaluator: str, key: str) -> str:
    return f"{readable(evaluator)}: {readable(key)}"


def _key_numbers(run: RunFiles, found: list[tuple[str, str, Measure, str]]) -> Html:
    rows = []
    for name, key, measure, prefix in found:
        numbers = run.results[name].numbers
        source = f" ({prefix.rstrip('_')})" if prefix else ""
        references = [
            element("div", f"{number(numbers[prefix + other], measure.unit or other)} · {label}")
            for other, label in measure.references.items()
            if prefix + other in numbers
        ]
        rows.append(
            [
                element("td", measure.label + source),
                element("td", number(numbers[key], measure.unit or key), class_="strong"),
                element("td", *references),
            ]
        )
    header = [element("th", text) for text in ("measured", "this run", "to compare with")]
    return grid(header, rows)
