import pytest

from toto_jax import errors


def test_nearest_names_one_or_all() -> None:
    assert errors.nearest("lama", ["llama", "mamba"]) == "did you mean 'llama'?"
    assert errors.nearest("zzz", ["llama", "gpt2"]) == "known: gpt2, llama"


def test_a_missing_extra_says_how_to_install_it() -> None:
    with pytest.raises(errors.ConfigError, match=r"pip install 'toto_jax\[video\]'"):
        errors.require("no_such_module_anywhere", "video")


def test_exit_codes_differ_so_that_a_launcher_can_tell() -> None:
    kinds = [
        errors.ConfigError,
        errors.DataError,
        errors.CheckpointError,
        errors.DivergedError,
        errors.StorageError,
        errors.Preempted,
    ]
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert errors.Preempted.exit_code == 42
