"""Imports point one way: cli -> api -> codecs -> {models, channel, entropy, diffusion}; api -> bitstream."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "diffcodec"
LEAVES = {"errors"}
#: pictures in and out: modes and files know no codec
PICTURES = {"image", "modes", "files", "png16", "output"}
ALLOWED = {
    "__init__": {"api", "files", "image", "errors"},
    # the command lists models without the detour through api, which knows streams
    "cli": {"api", "demo", "models", "__init__"} | PICTURES,
    "demo": {"api"} | PICTURES,
    "pillow": {"api", "bitstream"} | PICTURES,
    "api": {"codecs", "models", "bitstream"} | PICTURES,
    "codecs": {"models", "channel", "entropy", "diffusion"},
    "models": {"diffusion"},
    # pictures take the size limits from the bitstream
    **{name: PICTURES | {"bitstream", "__init__"} for name in PICTURES},
    **{name: set() for name in ("bitstream", "entropy", "channel", "diffusion", "errors")},
}


def layer(path: Path) -> str:
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Layers of diffcodec that a module imports, at any depth of the file."""
    package = ["diffcodec", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[list[str]] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            names = [module + [alias.name] for alias in node.names]
        for name in names:
            if name[0] == "diffcodec":
                target = name[1] if len(name) > 1 else "__init__"
                known = (PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").is_file()
                found.add(target if known else "__init__")
    return found


def test_imports_point_one_way():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = layer(path)
        for target in imported(path) - {own} - LEAVES:
            if target not in ALLOWED[own]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {target}")
    assert not wrong


def test_only_models_and_codecs_may_know_torch():
    for path in PACKAGE.rglob("*.py"):
        if layer(path) in {"entropy", "bitstream"}:
            modules = {
                a.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import) for a in n.names
            }
            assert "torch" not in modules, path


def test_only_entropy_touches_constriction():
    users = {
        layer(p)
        for p in PACKAGE.rglob("*.py")
        if "constriction" in p.read_text() and "import constriction" in p.read_text()
    }
    assert users == {"entropy"}
