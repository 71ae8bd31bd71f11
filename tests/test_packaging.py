r"""What is declared, pinned, imported and documented says the same."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import cardiolearn

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_file_is_on_the_map() -> None:
    r"""CONTRIBUTING.md holds the only map of the library: what is not on it is not found."""
    tree = text("CONTRIBUTING.md").split("src/cardiolearn/\n", 1)[1].split("```", 1)[0]
    named = Counter(re.findall(r"\b(\w+\.py)\b", tree))
    there = Counter(path.name for path in SOURCES if path.name != "__init__.py")
    assert named == there


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(text("pyproject.toml"))["project"]
    return table


def pins() -> dict[str, Requirement]:
    lines = [line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")]
    found = [Requirement(line) for line in lines]
    assert len({requirement.name for requirement in found}) == len(found)
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def needed(requirement: Requirement, seen: set[str]) -> Iterator[str]:
    r"""Names of all installed packages that `requirement` leads to here, itself included."""
    name = canonicalize_name(requirement.name)
    key = f"{name}[{','.join(sorted(requirement.extras))}]"
    if key in seen:
        return
    seen.add(key)
    yield name
    for line in metadata.requires(name) or []:
        child = Requirement(line)
        chosen = [{"extra": extra} for extra in ("", *requirement.extras)]
        if child.marker is None or any(child.marker.evaluate(environment) for environment in chosen):
            yield from needed(child, seen)


def top_level_imports(path: Path, *, standard: bool = False) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names - {"cardiolearn"} - (set() if standard else set(sys.stdlib_module_names))


def test_every_package_we_lead_to_is_pinned_at_the_version_tested_here() -> None:
    table, pinned, seen = project(), pins(), set[str]()
    declared = table["dependencies"] + table["optional-dependencies"]["dev"]
    names = {name for line in declared for name in needed(Requirement(line), seen)}
    assert len(names) > 100
    assert not names - pinned.keys()
    for name in names:
        installed = Version(metadata.version(name)).public
        assert pinned[name].specifier.contains(installed), f"{name}: {installed} is installed, {pinned[name]} is pinned"


def test_the_pins_install_on_the_oldest_python_we_promise() -> None:
    oldest = re.fullmatch(r">=(3\.\d+)", project()["requires-python"])
    assert oldest
    for name in pins():
        try:
            python = metadata.metadata(name).get("Requires-Python")
        except metadata.PackageNotFoundError:
            continue
        assert SpecifierSet(python or "").contains(oldest[1] + ".0"), f"{name} needs Python {python}"


def test_pins_are_exact_and_cover_all_extras() -> None:
    pinned = pins()
    assert all(re.fullmatch(r"==[0-9][0-9a-z.]*", str(pin.specifier)) for pin in pinned.values())
    assert all(pin.url is None for pin in pinned.values())
    assert str(pinned["torch"].specifier) == "==2.13.0"
    for lines in (project()["dependencies"], *project()["optional-dependencies"].values()):
        assert {canonicalize_name(Requirement(line).name) for line in lines} <= pinned.keys()


def test_the_declared_requirements_admit_the_pins() -> None:
    for line in project()["dependencies"]:
        requirement = Requirement(line)
        pin = next(iter(pins()[canonicalize_name(requirement.name)].specifier))
        assert requirement.specifier.contains(pin.version)


def test_what_the_library_imports_is_declared() -> None:
    providers = metadata.packages_distributions()
    declared = {canonicalize_name(Requirement(line).name) for line in project()["dependencies"]}
    allowed = declared | {
        canonicalize_name(Requirement(line).name) for line in project()["optional-dependencies"]["cluster"]
    }
    # Jupyter and the libraries it is made of come with jupyterlab, papermill and ipywidgets
    allowed |= {
        "ipython",
        "ipykernel",
        "nbformat",
        "nbclient",
        "nbconvert",
        "jupyter-client",
        "jupyter-core",
        "matplotlib-inline",
        "traitlets",
        "psutil",
        "jinja2",
        "markupsafe",
        "mistune",
    }
    for path in SOURCES:
        for name in top_level_imports(path):
            owners = {canonicalize_name(owner) for owner in providers.get(name, [name])}
            assert owners & allowed, f"{path.relative_to(ROOT)} imports {name}, which pyproject.toml does not declare"


def test_environment_yml_leaves_everything_to_pyproject() -> None:
    environment = yaml.safe_load(text("environment.yml"))
    *conda, pip = environment["dependencies"]
    assert environment["name"] == project()["name"]
    assert environment["channels"] == ["conda-forge"]
    torch = str(pins()["torch"].specifier).removeprefix("==")  # another version would be replaced by pip's large build
    assert conda == [f"python{project()['requires-python']}", "pip", f"pytorch-cpu={torch}"]
    assert pip == {"pip": ["-c constraints.txt", "-e ."]}


def test_the_version_is_one() -> None:
    assert project()["version"] == cardiolearn.__version__ == metadata.version("cardiolearn")
    assert yaml.safe_load(text("CITATION.cff"))["version"] == cardiolearn.__version__


def test_licences() -> None:
    assert project()["license"] == yaml.safe_load(text("CITATION.cff"))["license"] == "Apache-2.0"
    assert "Apache License" in text("LICENSE")
    assert "CC-BY-4.0" in text("LICENSE-text")
    assert all((ROOT / name).is_file() for name in project()["license-files"])


def test_the_command_exists() -> None:
    (entry,) = [entry for entry in metadata.entry_points(group="console_scripts") if entry.name == "cardiolearn"]
    assert entry.value == project()["scripts"]["cardiolearn"]
    assert callable(entry.load())


def test_ci_runs_what_make_test_runs() -> None:
    recipe = text("Makefile").split("\ntest:")[1].split("\n\n")[0]
    workflow = yaml.safe_load(text(".github/workflows/test.yml"))["jobs"]["test"]
    assert {name.split("-")[0] for name in workflow["strategy"]["matrix"]["os"]} == {"ubuntu", "macos", "windows"}
    runs = "\n".join(step.get("run", "") for step in workflow["steps"])
    assert "make test" in runs
    for command in ("ruff check .", "ruff format --check .", "mypy", "python -m pytest"):
        assert command in recipe
        assert f"\n{command}" in f"\n{runs}"
    assert text(".ci/run").splitlines()[-1].endswith("exec make test </dev/null")


def test_every_file_says_what_it_is_and_none_pickles() -> None:
    for path in SOURCES:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
        assert "pickle" not in top_level_imports(path, standard=True), path


def test_nothing_names_a_package_index() -> None:
    hosts = re.compile("|".join(["pypi" + r"\.org", "python" + "hosted", "download" + r"\.pytorch"]))
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if path.is_file() and path.suffix in {"", ".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".cff", ".ipynb"}:
            assert not hosts.search(path.read_text(encoding="utf-8")), name
