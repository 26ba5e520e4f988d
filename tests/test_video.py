import numpy as np

from toto_jax.video import ClipGeometry, to_batch, to_codes, to_sequences, vocabulary_size


def test_the_papers_geometry() -> None:
    geometry = ClipGeometry(frames=16, height=16, width=16)
    assert (geometry.tokens_per_frame, geometry.codes, geometry.sequence_length) == (256, 4096, 4098)
    np.testing.assert_array_equal(geometry.frame_of(np.array([0, 255, 256, 4095])), [0, 0, 1, 15])


def test_vocabularies_are_padded_past_the_special_tokens() -> None:
    assert vocabulary_size(8192) == 8320
    assert vocabulary_size(8192, multiple=1) == 8196
    assert vocabulary_size(124) == 128


def test_a_sequence_is_start_shifted_codes_end() -> None:
    codes_BN = np.array([[0, 7], [3, 65_000]], np.uint16)
    ids_BT = to_sequences(codes_BN, np.array([1, 3]))
    np.testing.assert_array_equal(ids_BT, [[1, 4, 11, 2], [3, 7, 65_004, 2]])
    np.testing.assert_array_equal(to_codes(ids_BT), codes_BN)


def test_the_grid_is_raster_order_in_frames_in_time_order() -> None:
    grid_BFHW = ClipGeometry(2, 2, 3).grid(np.arange(12)[None])
    assert grid_BFHW.shape == (1, 2, 2, 3)
    assert grid_BFHW[0, 1, 0, 2] == 8


def test_clips_become_what_tasks_take() -> None:
    start_B = np.array([1, 3], np.int32)
    codes_BFhw = np.arange(16, dtype=np.uint16).reshape(2, 2, 2, 2)
    batch = to_batch(codes_BFhw, start_B)
    np.testing.assert_array_equal(batch["ids"][1], [3, *range(12, 20), 2])
    pixels = np.zeros((2, 1, 4, 4, 3), np.uint8)
    assert set(to_batch(pixels, start_B)) == {"pixels", "start"}
    np.testing.assert_array_equal(to_batch(pixels, start_B)["start"], start_B)
