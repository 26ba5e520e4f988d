import base64
import html.parser
import json
import re

import numpy as np
import pytest

from toto_jax.evaluation.record import write_results
from toto_jax.evaluation.report import write_report
from toto_jax.evaluation.results import Animation, Curve, Picture, Table
from toto_jax.evaluation.run_files import write_summary

pytest.importorskip("matplotlib")
pytest.importorskip("PIL.Image")

HOSTILE = "\"><script>alert(1)</script>'&"
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
CONFIG = {
    "name": "a small run",
    "task": "next_token",
    "clips": {"frames": 8, "size": 64},
    "tokenizer": {"halvings": 3, "codebook_size": 512, "path": ""},
    "model": {"layers": 6, "d_model": 192},
    "train": {"steps": 200, "batch_size": 32},
    "evals": {"held_out": {"type": "validation_loss", "every": 100}},
}


class Page(html.parser.HTMLParser):
    """Collects tags, attributes and text, and fails on tags that don't match."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words, self.stack = [], [], [], []
        self.by_tag = {}
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("img", "meta"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        self.by_tag.setdefault(self.stack[-1] if self.stack else "", []).append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def write_run(workdir, config, steps=200):
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(json.dumps(config))
    with (workdir / "metrics.jsonl").open("w") as log:
        for step in range(10, steps + 1, 10):
            line = {
                "step": step,
                "kind": "train",
                "loss": 5 - step / 100,
                "learning_rate": 1e-4,
                "bad_steps": 0,
            }
            log.write(json.dumps(line) + "\n")


def validation(loss):
    yield "loss", loss
    yield "unigram_loss", 6.0
    yield "copy_last_frame_loss", 4.0
    yield "percent_below_copy", 100 * (1 - loss / 4)
    yield "first_frame_loss", 5.5
    yield (
        "by_frame",
        Curve(np.arange(8), {"Toto": np.ones(8)}, "frame", "nats per code", "cheaper and cheaper"),
    )


def report(workdir):
    path = write_report(workdir)
    assert path == workdir / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_a_whole_run(tmp_path):
    write_run(tmp_path, CONFIG)
    for step, loss in ((100, 3.5), (200, 3.0)):
        write_results(tmp_path, "held_out", step, validation(loss))
    shown = report(tmp_path)
    assert shown.by_tag["h1"] == ["a small run"]
    assert "6 layers of width 192" in shown.text
    # 8 frames of 8 x 8 codes; 200 steps of 32 such clips.
    assert "512 codes, each one of 512" in shown.text
    assert "all 200 steps of 32 clips" in shown.text
    assert {"3", "25.0 %", "3.28M"} <= set(shown.by_tag["strong"])
    assert "4 · copy the last frame" in shown.text
    assert "6 · code frequencies alone" in shown.text
    assert "cheaper and cheaper" in shown.text
    assert shown.tags.count("polyline") == 5  # each number's way from step 100 to 200


def test_pictures_are_inside_and_nothing_is_outside(tmp_path):
    write_run(tmp_path, CONFIG)
    frames = np.stack([PIXELS, 255 - PIXELS])
    results = [("still", Picture(PIXELS, "a still")), ("moving", Animation(frames, 5.0, "it moves"))]
    write_results(tmp_path, "pictures", 200, results)
    shown = report(tmp_path)
    inside = [link for link in shown.links if link.startswith("data:image/")]
    for link, name in zip(inside, ("200-still.png", "200-moving.gif"), strict=True):
        written = (tmp_path / "results/pictures" / name).read_bytes()
        assert base64.b64decode(link.split(",")[1]) == written
    # What is left points within the page: sections, and markers of plots.
    assert all(link.startswith(("data:image/", "#")) for link in shown.links)
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", text)


def test_links_lead_to_sections(tmp_path):
    write_run(tmp_path, CONFIG)
    write_results(tmp_path, "held_out", 200, validation(3.0))
    text = write_report(tmp_path).read_text()
    anchors = re.findall(r'<a href="#([^"]*)"', text)
    assert len(anchors) >= 6
    assert sorted(re.findall(r'<h2 id="([^"]*)"', text)) == sorted(anchors)


def test_names_of_plots_parts_do_not_clash(tmp_path):
    write_run(tmp_path, CONFIG)
    write_results(tmp_path, "held_out", 200, validation(3.0))
    text = write_report(tmp_path).read_text()
    # Shared definitions may come again, as long as they are the same.
    for kind in ("path", "clipPath"):
        definitions = {}
        for name, body in re.findall(rf'<{kind} id="([^"]*)"(.*?)(?:/>|</{kind}>)', text, flags=re.DOTALL):
            assert definitions.setdefault(name, body) == body
    assert '<g id="' not in text


def test_an_evaluator_that_nobody_has_heard_of_is_shown_whole(tmp_path):
    write_run(tmp_path, CONFIG)
    results = [
        ("hops_per_minute", 12.5),
        ("by_leg", Curve(np.arange(3), {"left": np.ones(3)}, "leg", "hops", "hops of each leg")),
        ("legs", Table(("leg", "hops"), (("left", 7),), "all legs")),
        ("portrait", Picture(PIXELS, "the frog")),
    ]
    write_results(tmp_path, "frog_jumping", 200, results)
    shown = report(tmp_path)
    assert "Frog jumping" in shown.by_tag["h2"]
    assert "frog jumping: hops per minute" in shown.text
    for words in ("12.5", "hops of each leg", "all legs", "the frog"):
        assert words in shown.text


def test_sources_of_clips_are_told_apart_at_the_head(tmp_path):
    write_run(tmp_path, CONFIG)
    results = [(f"{source}_{name}", value) for source in ("cats", "dogs") for name, value in validation(3.0)]
    write_results(tmp_path, "held_out", 200, [pair for pair in results if isinstance(pair[1], float)])
    shown = report(tmp_path)
    labels = [text for text in shown.by_tag["td"] if text.startswith("loss on held-out")]
    assert labels == [f"loss on held-out clips, nats per code ({source})" for source in ("cats", "dogs")]


def test_two_evaluators_of_one_type_are_told_apart(tmp_path):
    evals = {name: {"type": "validation_loss", "every": 0} for name in ("near", "far")}
    write_run(tmp_path, {**CONFIG, "evals": evals})
    for name in evals:
        write_results(tmp_path, name, 200, validation(3.0))
    assert {"Prediction: near", "Prediction: far"} <= set(report(tmp_path).by_tag["h2"])


def test_nothing_hostile_survives(tmp_path):
    config = {**CONFIG, "name": HOSTILE, "tokenizer": {**CONFIG["tokenizer"], "path": HOSTILE}}
    write_run(tmp_path, config)
    curve = Curve(np.arange(2), {HOSTILE: np.ones(2), "b": np.ones(2)}, HOSTILE, HOSTILE, HOSTILE)
    results = [
        (HOSTILE, 1.0),
        (HOSTILE + "curve", curve),
        (HOSTILE + "table", Table((HOSTILE,), ((HOSTILE,),), HOSTILE)),
        (HOSTILE + "picture", Picture(PIXELS, HOSTILE)),
    ]
    write_results(tmp_path, "plain", 200, results)
    (tmp_path / "summary.json").write_text(json.dumps({HOSTILE: HOSTILE, "list": [HOSTILE]}))
    (tmp_path / "results/plain").rename(tmp_path / "results" / "<script>x")
    shown = report(tmp_path)
    assert "script" not in shown.tags
    assert shown.by_tag["h1"] == [HOSTILE]
    assert shown.text.count(HOSTILE) > 8


def test_a_fine_tune_says_what_it_started_with(tmp_path):
    write_run(tmp_path, CONFIG)
    assert "It started with" not in report(tmp_path).text
    write_summary(tmp_path, {"started_from": "runs/before/checkpoints/500"})
    shown = report(tmp_path)
    assert "It started with the parameters of runs/before/checkpoints/500 ." in shown.text


def test_percents_of_probes_are_shown_as_such_beside_their_controls(tmp_path):
    write_run(tmp_path, {**CONFIG, "evals": {"features": {"type": "probes", "every": 0}}})
    numbers = {"attention_accuracy": 71.25, "attention_accuracy_random_weights": 40.0, "chance": 10.0}
    write_results(tmp_path, "features", 200, numbers.items())
    shown = report(tmp_path)
    assert "71.2 %" in shown.by_tag["strong"]
    assert {"40.0 % · random weights", "10.0 % · guessing"} <= set(shown.by_tag["div"])


def test_an_evaluator_that_had_nothing_to_measure_says_what_it_needs(tmp_path):
    write_run(tmp_path, {**CONFIG, "evals": {"features": {"type": "probes", "every": 0}}})
    write_results(tmp_path, "features", 200, [])
    shown = report(tmp_path)
    assert "gave it nothing to measure" in shown.text
    assert "config.data.labels" in shown.by_tag["code"]


def test_what_is_missing_names_the_command_that_makes_it(tmp_path):
    folder = tmp_path / "my run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    shown = report(folder)
    assert f"python -m toto_jax.main --config=<config file> --workdir='{folder}'" in shown.by_tag["pre"]
    assert f"python -m toto_jax.evaluate --workdir='{folder}' --evals=held_out" in shown.by_tag["pre"]
    # Evaluators that this task's configs usually have, and this one hasn't.
    assert {"Continuations", "Features"} <= set(shown.by_tag["h2"])
    assert {"rollout", "probes"} <= set(shown.by_tag["code"])


def test_an_empty_folder_still_makes_a_page(tmp_path):
    assert "There is no" in report(tmp_path).text


def test_the_tokenizer_that_was_trained_on_the_way_has_its_section(tmp_path):
    write_run(tmp_path, CONFIG)
    inner = {
        "name": "tokenizer",
        "task": "tokenizer",
        "evals": {"look": {"type": "reconstruction", "every": 0}},
    }
    write_run(tmp_path / "tokenizer_run", inner)
    write_results(
        tmp_path / "tokenizer_run", "look", 200, [("psnr_db", 24.71), ("pair", Picture(PIXELS, "before"))]
    )
    shown = report(tmp_path)
    assert shown.by_tag["h3"] == ["Reconstruction", "Training"]
    assert "24.7 dB" in shown.text
    assert "before" in shown.text


def test_a_tokenizers_own_report_misses_no_tokenizer(tmp_path):
    write_run(tmp_path, {"name": "tokenizer", "task": "tokenizer"})
    shown = report(tmp_path)
    assert "Tokenizer" not in shown.by_tag["h2"]
    assert "Reconstruction" in shown.by_tag["h2"]
    assert "Prediction" not in shown.by_tag["h2"]


def test_a_run_on_patches_speaks_of_patches(tmp_path):
    """Its error stands beside its own baselines and in the curves; where no codes are learned, none are missed."""
    evals = {"held_out": {"type": "patch_loss", "every": 100}}
    config = {**CONFIG, "task": "patch_to_patch", "patches": {"side": 16}, "evals": evals}
    write_run(tmp_path, config)
    numbers = {"loss": 0.2, "zero_loss": 0.9, "copy_last_frame_loss": 0.4, "percent_below_copy": 50.0}
    for step in (100, 200):
        write_results(tmp_path, "held_out", step, numbers.items())
    shown = report(tmp_path)
    # 8 frames of 4 x 4 patches; 200 steps of 32 such clips.
    assert "128 patches of 16 × 16 pixels." in shown.text
    assert {"0.2", "50.0 %", "819k"} <= set(shown.by_tag["strong"])
    assert "0.4 · copy the last frame" in shown.text
    assert "0.9 · patches of no contrast" in shown.text
    assert "held-out ones. Where the two part" in shown.text
    assert not {"Continuations", "Tokenizer"} & set(shown.by_tag["h2"])
    write_run(tmp_path, {**config, "task": "patch_to_code"})
    shown = report(tmp_path)
    assert "128 patches of 16 × 16 pixels, each with a code out of 512." in shown.text
    assert "Tokenizer" in shown.by_tag["h2"]
