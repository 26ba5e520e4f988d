"""Stands for toto_jax.main: ends with the given codes in turn, a step further each time, and listens to SIGTERM.

Several processes of one attempt take a code each.

  python dummy_trainer.py FOLDER CODE[@STEP] [CODE[@STEP] ...]

A code of "wait" runs until it is told to stop, and then ends with 42; "deaf" doesn't listen.
"""

import json
import os
import pathlib
import signal
import sys
import time


def main(folder: pathlib.Path, turns: list[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    counter = folder / "turns"
    turn = int(counter.read_text()) if counter.exists() else 0
    counter.write_text(str(turn + 1))
    turn = int(os.environ.get("JAX_PROCESS_ID", turn))
    code, _, step = turns[min(turn, len(turns) - 1)].partition("@")
    line = {"kind": "train", "step": int(step or turn + 1), "loss": 2.5, "tokens_per_second": 10.0}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(f"turn {turn}", {key: os.environ[key] for key in sorted(os.environ) if key.startswith("JAX_")})
    if code in ("wait", "deaf"):
        signal.signal(signal.SIGTERM, (lambda *_: sys.exit(42)) if code == "wait" else signal.SIG_IGN)
        (folder / "ready").touch()
        while True:
            time.sleep(0.02)
    if code.startswith("-"):
        os.kill(os.getpid(), -int(code))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2:]))
