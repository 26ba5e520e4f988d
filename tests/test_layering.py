"""The house keeps its order: imports point downwards, files and functions stay small, public functions are typed."""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "toto_jax"

# From the top of the house to its foundations; a file imports from its own room or from lower ones.
LEVELS = [
    {
        "main",
        "pretokenize",
        "evaluate",
        "sample",
        "dryrun",
        "import_weights",
        "export_weights",
        "ngrams",
        "scaling_law",
        "learning_rates",
        "overlap",
        "inspect",
        "on_beam",
        "stage",
    },
    {"stages"},
    {"pretrained", "starting_point", "gathered_runs"},
    {"planning"},
    {"experiment", "shard_job"},
    {"settings"},
    {"evaluation"},
    {"analysis"},
    {"generation"},
    {"tasks"},
    {"training"},
    {"data"},
    {"interop"},
    {"tokenizers"},
    {"models"},
    {"sharding"},
    {"video", "tree", "config", "command_line", "text_table"},
    {"errors"},
]
ENTRY_POINTS = LEVELS[0]
# Importable with the base install alone, so only inside functions.
OPTIONAL = {
    "torch",
    "tensorflow",
    "tensorflow_datasets",
    "transformers",
    "wandb",
    "matplotlib",
    "tensorboardX",
    "tqdm",
    "av",
    "PIL",
}
FILES = sorted(PACKAGE.rglob("*.py"))
# Beside the house, and above it: nothing of the package imports it.
LAUNCH = sorted((ROOT / "launch").glob("*.py"))


def room(path: pathlib.Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    # Commands stand at the top wherever their files lie.
    return path.stem if path.stem in ENTRY_POINTS else parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def level(name: str) -> int:
    found = [number for number, names in enumerate(LEVELS) if name in names]
    assert found, f"{name} has no place in the house: add it to LEVELS"
    return found[0]


def upward_arrows(name: str, source: str) -> list[str]:
    arrows = []
    for module in imports(ast.parse(source)):
        parts = module.split(".")
        if parts[0] in ("configs", "launch", "tests"):
            arrows.append(f"{name} -> {module}")
        if parts[0] == "toto_jax" and len(parts) > 1 and parts[1] != name and level(parts[1]) <= level(name):
            arrows.append(f"{name} -> {module}")
    return arrows


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: pathlib.Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    assert not upward_arrows(room(path), path.read_text())


def test_an_upward_import_is_noticed() -> None:
    assert upward_arrows("models", "from toto_jax.training.step import train_step")
    assert upward_arrows("training", "import configs.default")
    assert not upward_arrows("training", "from toto_jax.models.llama import Llama")


def test_the_launcher_stays_light() -> None:
    """It runs where jobs are submitted: nothing of it but the check of configs needs JAX."""
    light = {"toto_jax.errors", "toto_jax.config"}
    for path in LAUNCH:
        found = {module for module in imports(ast.parse(path.read_text())) if module.startswith("toto_jax")}
        assert found <= light or path.stem == "check", path
    backends = "launch.run, launch.local, launch.slurm, launch.tpu_vm, launch.gke"
    program = f"import sys, {backends}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("path", [*FILES, *LAUNCH], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: pathlib.Path) -> None:
    text = path.read_text()
    bound = 80 if path in FILES and room(path) in ENTRY_POINTS else 300
    assert len(text.splitlines()) <= bound
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 80, f"{path}: {node.name} is too long"


@pytest.mark.parametrize("path", [*FILES, *LAUNCH], ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_are_typed(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            untyped = [
                argument.arg
                for argument in [*node.args.args, *node.args.kwonlyargs]
                if argument.annotation is None and argument.arg not in ("self", "cls")
            ]
            assert not untyped, f"{path}: {node.name} doesn't say what {untyped} are"
            assert node.returns is not None, f"{path}: {node.name} doesn't say what it returns"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_optional_packages_are_imported_where_used(path: pathlib.Path) -> None:
    tree = ast.parse(path.read_text())
    at_top = {module.split(".")[0] for module in imports(ast.Module(body=_top_level(tree), type_ignores=[]))}
    forbidden = OPTIONAL | (set() if room(path) == "data" else {"grain", "array_record"})
    assert not at_top & forbidden


def _top_level(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_no_circles() -> None:
    """No file reaches itself by the imports at its top."""
    graph = {}
    for path in FILES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        body = ast.Module(body=_top_level(ast.parse(path.read_text())), type_ignores=[])
        graph[name] = {module for module in imports(body) if module.startswith("toto_jax.")}
    for start in graph:
        reached, frontier = set(), set(graph[start])
        while frontier:
            name = frontier.pop()
            assert name != start, f"{start} imports itself in a circle"
            if name not in reached:
                reached.add(name)
                frontier |= graph.get(name, set())
