"""What one process of a job does for all: files are written once, and everybody learns how it went."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from toto_jax import errors

# Characters of an error that travel to the other processes.
_LONGEST_MESSAGE = 2000


def is_first() -> bool:
    """Returns whether this is the process that writes files and talks to people."""
    return jax.process_index() == 0


def on_first_process(work: Callable[[], Any]) -> Any:
    """Runs `work` on process 0 while the others wait, and returns its result on all.

    Args:
      work: returns something that JSON can hold.

    Raises:
      TotoError: whatever `work` raised, on every process, so that all of them end alike.
    """
    if jax.process_count() == 1:
        return work()
    outcome: dict[str, Any] = {}
    failure: BaseException | None = None
    if is_first():
        try:
            outcome = {"result": work()}
        except Exception as error:  # it is raised again below, once the others know
            failure = error
            outcome = {"error": type(error).__name__, "message": str(error)}
    outcome = _from_first(outcome)
    if failure is not None:
        raise failure
    if "error" in outcome:
        kind = getattr(errors, outcome["error"], errors.JobError)
        raise kind(f"Process 0: {outcome['message']}")
    return outcome["result"]


def on_all_processes(work: Callable[[], Any]) -> Any:
    """Runs `work` on every process and returns its own result to each, once all are done.

    Raises:
      TotoError: the first failure of any process, on every one, so that all of them end alike and none waits.
    """
    if jax.process_count() == 1:
        return work()
    failure: Exception | None = None
    result, text = None, ""
    try:
        result = work()
    except Exception as error:  # it is raised again below, once the others know
        failure, text = error, json.dumps([type(error).__name__, str(error)[:_LONGEST_MESSAGE]])
    said = np.zeros(8 * _LONGEST_MESSAGE, np.uint8)  # JSON takes six bytes for some characters
    content = np.frombuffer(text.encode(), np.uint8)
    said[: len(content)] = content
    texts = [bytes(row).rstrip(b"\0").decode() for row in multihost_utils.process_allgather(said)]
    if failure is not None:
        raise failure
    for process, text in enumerate(texts):
        if text:
            name, message = json.loads(text)
            raise getattr(errors, name, errors.JobError)(f"Process {process}: {message}")
    return result


def fetch(tree: Any) -> Any:
    """Returns arrays as NumPy arrays, whole, on every process; all processes must call it."""

    def one(leaf: jax.Array) -> np.ndarray:
        if leaf.is_fully_addressable:
            return np.asarray(leaf)
        if leaf.is_fully_replicated:
            return np.asarray(leaf.addressable_data(0))
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(one, tree)


def _from_first(value: Any) -> Any:
    """Returns process 0's value on all processes."""
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    padded = np.zeros(length, np.uint8)
    padded[: len(text[:length])] = text[:length]
    return json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded))))
