"""Whether a member that ended is started again: by its exit code, within two budgets, after a growing pause."""

import dataclasses
import random
from collections.abc import Sequence

from toto_jax.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    JobError,
    Preempted,
    StorageError,
)

# "Saved, start me again" and "start all processes again": the machines' doing, not the run's.
PREEMPTIONS = (Preempted.exit_code, JobError.exit_code)
# Codes after which the same command would meet the same end.
FINAL = {
    ConfigError.exit_code: "config error",
    DataError.exit_code: "data error",
    CheckpointError.exit_code: "no checkpoint",
    DivergedError.exit_code: "diverged",
    StorageError.exit_code: "disk full",
}
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 600.0


@dataclasses.dataclass(frozen=True)
class Ended:
    """How an attempt ended.

    Attributes:
      code: its exit code; 128 + n for signal n.
      step: the last one in its log; 0 if there is none, None if the log can't be seen from here.
    """

    code: int
    step: int | None


@dataclasses.dataclass(frozen=True)
class Budgets:
    """How often a member may start again.

    Attributes:
      preemptions: after being preempted; -1 for always.
      failures: after any other end that a restart may mend: signals are among them, and processes that lost each other
        without a step since the attempt before.
    """

    preemptions: int
    failures: int

    def __post_init__(self) -> None:
        if self.preemptions < -1 or self.failures < 0:
            raise ConfigError(
                f"--preemptions={self.preemptions} --failures={self.failures}: numbers of restarts; "
                "-1 preemptions for no bound"
            )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Attributes:
    again: whether to start it again.
    state: a word for tables: "done", "preempted", "failed", "gave up", or one of FINAL.
    reason: a sentence for people; "" where the state says all.
    """

    again: bool
    state: str
    reason: str = ""


def judge(history: Sequence[Ended], budgets: Budgets) -> Verdict:
    """Returns what is to be done after the last of a member's attempts.

    Args:
      history: its attempts since it was last started by a person, oldest first; at least one.
      budgets: for restarts.
    """
    last = history[-1]
    if last.code == 0:
        return Verdict(False, "done")
    if last.code in FINAL:
        return Verdict(False, FINAL[last.code], f"exit code {last.code}: a restart would meet the same end")
    preempted = [
        _was_preempted(before, ended) for before, ended in zip([None, *history], history, strict=False)
    ]
    if preempted[-1]:
        count = sum(preempted)
        if budgets.preemptions == -1 or count <= budgets.preemptions:
            return Verdict(True, "preempted")
        return Verdict(False, "gave up", f"preempted {count} times; --preemptions={budgets.preemptions}")
    failures = [ended for ended, counts_not in zip(history, preempted, strict=True) if not counts_not]
    crashes = [ended for ended in failures if ended.code not in PREEMPTIONS]
    if crashes[1:] and crashes[-1] is last and last.step is not None and crashes[-2].step == last.step:
        reason = f"failed twice at step {last.step} (exit codes {crashes[-2].code} and {last.code})"
        return Verdict(False, "gave up", reason)
    if len(failures) > budgets.failures:
        reason = (
            f"failed {len(failures)} times, last with exit code {last.code}; --failures={budgets.failures}"
        )
        return Verdict(False, "gave up", reason)
    return Verdict(True, "failed", f"exit code {last.code}")


def _was_preempted(before: Ended | None, ended: Ended) -> bool:
    """Returns whether an end was the machines' doing.

    Processes that lose each other again before they have made a step may never find each other (a closed port), and
    each attempt costs all of them the wait. A log that can't be seen says nothing of steps.
    """
    if ended.code == JobError.exit_code and before is not None and ended.step is not None:
        return ended.step != before.step
    return ended.code in PREEMPTIONS


def pause(history: Sequence[Ended], draw: random.Random) -> float:
    """Returns the seconds to wait before the next start: 10 to 600, doubling while no step is made, less up to half."""
    still = 1
    while still < len(history) and history[-still].step == history[-still - 1].step:
        still += 1
    longest = min(FIRST_PAUSE * 2 ** (still - 1), LONGEST_PAUSE)
    return longest * draw.uniform(0.5, 1.0)


def worst(codes: Sequence[int]) -> int:
    """Returns the exit code that says most about an attempt of several processes.

    An end that is final comes before any other failure, and those before preemptions, which the others' failures cause.
    """

    def rank(code: int) -> int:
        if code == 0:
            return 3
        return 2 if code in PREEMPTIONS else 0 if code in FINAL else 1

    return min(codes, key=rank)
