"""What one module takes from another is public there: it is listed in the other's `__all__`."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(ROOT.glob("packages/*/src"))


def modules() -> dict[str, Path]:
    """Every module of the five packages by its dotted name."""
    return {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
        for source in SOURCES
        for path in source.rglob("*.py")
    }


def listed(path: Path) -> set[str] | None:
    """What `__all__` lists; None where the module has none."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return None


def taken(path: Path) -> Iterator[tuple[str, str]]:
    """Every (module, name) that the file imports by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.module, alias.name


def test_what_is_imported_from_a_module_is_in_its_all():
    known = modules()
    public = {name: listed(path) for name, path in known.items()}

    private = {
        f"{module}.{name}, in {importer}"
        for importer, path in known.items()
        for module, name in taken(path)
        if public.get(module) is not None and name not in public[module] and f"{module}.{name}" not in known
    }

    assert sorted(private) == []
