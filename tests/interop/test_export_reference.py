"""A run of ours, exported by the command, in transformers' hands."""

import json
import pathlib

import jax
import numpy as np
import pytest

import toto_jax
from tests.processes import end, run, start
from toto_jax.errors import ConfigError
from toto_jax.video import END, VIDEO_START

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
transformers = pytest.importorskip("transformers", reason="the reference is transformers' LLaMA")


def test_a_run_goes_on_in_transformers(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "exported"
    assert "Step 12 as LlamaForCausalLM" in run(
        "interop.export_weights", f"--workdir={finished}", f"--out={out}"
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    toto = toto_jax.from_pretrained(finished)
    ids = toto.tokens(np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3)).astype(np.uint8))
    with torch.no_grad():
        theirs = model(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(toto.logits(ids), theirs, atol=2e-5 * np.abs(theirs).max())
    assert (model.config.bos_token_id, model.config.eos_token_id) == (VIDEO_START, END)
    again, tokenizer = tmp_path / "again", finished / "tokenizer"
    output = run("interop.import_weights", "hf-llama", str(out), f"--out={again}", f"--tokenizer={tokenizer}")
    assert "Step 12 of 'quickstart'" in output
    jax.tree.map(np.testing.assert_array_equal, toto_jax.from_pretrained(again).params, toto.params)
    spec = json.loads((out / "tokenizer_spec.json").read_text())
    assert spec == toto.tokenizer.spec.to_json()
    card = (out / "README.md").read_text()
    for fact in (
        spec["content_hash"][:12],
        "2 layers of width 32",
        "4 frames, 4 x 4 codes",
        "Trained on: media",
    ):
        assert fact in card


def test_a_folder_that_holds_something_is_left_alone(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").write_text("precious")
    output = end(
        start("interop.export_weights", f"--workdir={finished}", f"--out={tmp_path}"), ConfigError.exit_code
    )
    assert "is not empty; give a new folder" in output
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
