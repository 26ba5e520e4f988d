import io

from toto_jax.data.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_is_a_line_now_and_then() -> None:
    quiet = io.StringIO()
    progress = Progress("job", total=100, done=0, unit="clips", stream=quiet, every=1000)
    for _ in range(50):
        progress.advance(1)
    assert quiet.getvalue() == ""
    progress.close()
    assert quiet.getvalue().count("\n") == 1
    assert "50/100" in quiet.getvalue()
    assert "clips/s" in quiet.getvalue()
    chatty = io.StringIO()
    progress = Progress("job", total=4, done=1, unit="clips", stream=chatty, every=0)
    progress.advance(1)
    progress.advance(1)
    assert [line.split()[2] for line in chatty.getvalue().splitlines()] == ["2/4", "3/4"]


def test_a_terminal_gets_a_bar_with_rate_and_time_left() -> None:
    terminal = Terminal()
    progress = Progress("job", total=10, done=5, unit="clips", stream=terminal)
    progress.advance(3)
    progress.done(9)  # another worker did one more
    progress.close()
    assert "5/10" in terminal.getvalue()
    assert "9/10" in terminal.getvalue()
    assert "clips/s" in terminal.getvalue()
    assert "<" in terminal.getvalue()  # elapsed<left
