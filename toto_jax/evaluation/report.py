"""One page that shows a run to somebody who wasn't there, made from the files of its workdir alone.

Any of the files may be missing: the page then says what would make it. Evaluators that nobody has described
show all that they yield, under their own name.
"""

import dataclasses
import json
import pathlib
import shlex
from collections.abc import Iterator

from toto_jax.evaluation.descriptions import EVALUATORS, TASKS, Description
from toto_jax.evaluation.headline import headline
from toto_jax.evaluation.page import (
    Html,
    element,
    grid,
    joined,
    media,
    missing,
    number,
    page,
    plot,
    prose,
    readable,
    sparkline,
    table,
)
from toto_jax.evaluation.record import History, MediaFile
from toto_jax.evaluation.results import Curve
from toto_jax.evaluation.run_files import RunFiles, read_run
from toto_jax.evaluation.training_curves import training_curves

NAME = "report.html"
TOKENIZER_RUN = "tokenizer_run"


@dataclasses.dataclass(frozen=True)
class _Section:
    """Attributes:
    anchor: unique on the page.
    title: of the section, also in the list at the top.
    content: all below the title.
    """

    anchor: str
    title: str
    content: Html


def write_report(workdir: pathlib.Path) -> pathlib.Path:
    """Writes `<workdir>/report.html`, whole, and returns its path.

    Args:
      workdir: of the run; read are `config.json`, `metrics.jsonl`, `results/`, `summary.json` and, for the
        tokenizer that was trained on the way, the same files of `tokenizer_run/`.

    Raises:
      ConfigError: if matplotlib isn't installed.
      DataError: if one of the files is there but isn't what it should be.
    """
    run = read_run(workdir)
    sections = [_Section("training", "Training", training_curves(run)), *_evaluations(run)]
    if run.setting("task") not in ("tokenizer", "patch_to_patch"):
        sections.append(_tokenizer(run))
    sections.append(_config(run))
    links = [element("a", section.title, href=f"#{section.anchor}") for section in sections]
    body = [
        element("header", headline(run)),
        element("nav", *links),
        *(
            element("section", element("h2", section.title, id=section.anchor), section.content)
            for section in sections
        ),
        element(
            "footer",
            "Written by toto_jax from the files of this run. Pictures and plots are inside this page.",
        ),
    ]
    path = workdir / NAME
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page(run.name, joined(body)), encoding="utf-8")
    temporary.replace(path)
    return path


def _evaluations(run: RunFiles) -> Iterator[_Section]:
    """Yields a section for each evaluator, and one for each kind that this task should have and hasn't."""
    names = run.evaluators()
    for kind, description in EVALUATORS.items():
        if run.setting("task") in description.tasks and kind not in map(run.kind, names):
            yield _Section(
                kind,
                description.title,
                missing(
                    f"Not measured: the config has no evaluator of type `{kind}`. Add one to its `evals` and "
                    "start the run again in the same workdir, where it goes on; a finished one is then "
                    "measured by:",
                    f"python -m toto_jax.evaluate --workdir={run.folder}",
                ),
            )
        for name in names:
            if run.kind(name) == kind:
                yield _evaluation(run, name)
    for name in names:
        if run.kind(name) not in EVALUATORS:
            yield _evaluation(run, name)


def _evaluation(run: RunFiles, name: str) -> _Section:
    kind = run.kind(name)
    same = [other for other in run.evaluators() if run.kind(other) == kind]
    if kind in EVALUATORS:
        description = EVALUATORS[kind]
        title = description.title if len(same) == 1 else f"{description.title}: {readable(name)}"
    else:
        description = Description("", f"Results of the evaluator `{name}`.")
        title = readable(name).capitalize()
    content = joined([prose(description.intro), *_result_parts(run, name)])
    return _Section(f"evaluator-{name}", title, content)


def _result_parts(run: RunFiles, name: str) -> Iterator[Html]:
    if name not in run.results:
        command = f"python -m toto_jax.evaluate --workdir={run.folder} --evals={shlex.quote(name)}"
        yield missing("Not measured yet. This measures the newest checkpoint:", command)
        return
    history = run.results[name]
    if not history.numbers and not history.latest:
        needs = EVALUATORS[run.kind(name)].needs if run.kind(name) in EVALUATORS else ""
        yield missing(
            f"It ran at step {history.step:,}, and this run's data gave it nothing to measure. {needs}"
        )
        return
    for result in history.latest.values():
        if isinstance(result, Curve):
            yield plot(result)
        elif isinstance(result, MediaFile):
            yield media(result.path, result.caption)
        else:
            yield table(result)
    if history.numbers:
        yield _numbers(history)


def _numbers(history: History) -> Html:
    """Returns a table of an evaluator's scalars, each with how it has gone if it was measured before."""
    sparks = {key: sparkline(history.scalars[key]) for key in history.numbers}
    header = ["", f"step {history.step:,}"] + ["so far"] * any(sparks.values())
    rows = []
    for key, value in history.numbers.items():
        cells = [readable(key), number(value, key)] + [sparks[key]] * any(sparks.values())
        rows.append([element("td", cell) for cell in cells])
    return grid([element("th", text) for text in header], rows)


def _tokenizer(run: RunFiles) -> _Section:
    folder = run.workdir / TOKENIZER_RUN
    if not folder.is_dir():
        path = run.setting("tokenizer.path")
        where = f" It was read from `{path}`." if path else ""
        content = missing(
            f"The tokenizer was not trained by this run.{where} With a recipe in `config.tokenizer.training` "
            "and no saved tokenizer, `python -m toto_jax.main` trains one first, and this section shows how "
            "it came out."
        )
        return _Section("tokenizer", "Tokenizer", content)
    inner = read_run(folder)
    parts = [prose(TASKS["tokenizer"])]
    for section in _evaluations(inner):
        parts += [element("h3", section.title), section.content]
    parts += [element("h3", "Training"), training_curves(inner)]
    return _Section("tokenizer", "Tokenizer", joined(parts))


def _config(run: RunFiles) -> _Section:
    if not run.config:
        content = missing(
            "There is no `config.json`: this folder is not that of a run, or the run has not started."
        )
        return _Section("config", "Config", content)
    parts = []
    if run.summary:
        rows = [
            [element("td", readable(key)), element("td", _plain(value, key))]
            for key, value in run.summary.items()
        ]
        parts.append(grid([element("th", "the run"), element("th", "")], rows))
    text = json.dumps(run.config, indent=2)
    parts.append(element("details", element("summary", "Every setting of this run"), element("pre", text)))
    return _Section("config", "Config", joined(parts))


def _plain(value: object, key: str) -> str:
    return number(value, key) if isinstance(value, (int, float, str)) else json.dumps(value)
