"""Public functions of the package whose docstring does not say what it should, by part.

    python tools/check_docstrings.py [PART ...]

A docstring is there; where arrays or tensors go in or come out it names a shape or a type of numbers; where an error of
diffcodec or a ValueError is raised it names that. It may do either by pointing at another function (`Mirror of`, `as`).
Units no script can see.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "diffcodec"
ARRAYS = re.compile(r"\b(ndarray|NDArray|ArrayLike|Tensor|Bytes)\b")
#: (n,), (N, C), H×W, uint8, "of any shape", "like z"
SHAPES = re.compile(
    r"\(\w+,\)|\([^()]*, [^()]*\)|\w×\w|\b(u?int(8|16|32|64)?|b?float(16|32|64)|bool)\b"
    r"|\b(shape|scalar|broadcast|dtype)",
)
#: what is said elsewhere
REFERENCE = re.compile(r":(func|meth|class):`|\b([Mm]irror|[Ii]nverse) of\b|\b[Aa]s (the (model|codec)'s )?`[\w.]+`")


def errors() -> set[str]:
    """Names of the errors of diffcodec."""
    tree = ast.parse((PACKAGE / "runtime" / "errors.py").read_text(encoding="utf-8"))
    return {"ValueError", *(node.name for node in tree.body if isinstance(node, ast.ClassDef))}


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """(qualified name, node) of the public functions of a module, and the public methods of its public classes."""

    def of(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from of(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield prefix + node.name, node

    yield from of(tree.body, "")


def raised(node: ast.AST) -> set[str]:
    """Names of what a function's own statements raise, but for what they catch themselves."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return {ast.unparse(node.exc.func).split(".")[-1]}
    found = set().union(*(raised(child) for child in ast.iter_child_nodes(node)))
    if isinstance(node, ast.Try):
        caught = {ast.unparse(handler.type) for handler in node.handlers if handler.type}
        within = set().union(*map(raised, node.body))
        found -= within if "Exception" in caught else within & caught
        found |= set().union(*map(raised, node.handlers))
    return found


def takes_arrays(node: ast.FunctionDef) -> bool:
    """Whether an argument or the result is an array or a tensor."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    kinds = [argument.annotation for argument in arguments] + [node.returns]
    return any(ARRAYS.search(ast.unparse(kind)) for kind in kinds if kind is not None)


def wanting(node: ast.FunctionDef, named: set[str]) -> list[str]:
    """What the docstring of a function lacks."""
    if any(ast.unparse(d).split(".")[-1] in ("overload", "setter") for d in node.decorator_list):
        return []
    text = ast.get_docstring(node)
    if text is None:
        return ["docstring"]
    lacks = []
    if takes_arrays(node) and not SHAPES.search(text) and not REFERENCE.search(text):
        lacks.append("shape or type")
    untold = {name for name in raised(node) & named if name not in text}
    if untold and not re.search(r"Raises as\b", text):
        lacks.append("Raises " + ", ".join(sorted(untold)))
    return lacks


def check() -> Iterator[tuple[str, str, list[str]]]:
    """(part, place, what it lacks) of every public function."""
    named = errors()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE)
        for name, node in functions(ast.parse(path.read_text(encoding="utf-8"))):
            yield module.parts[0].removesuffix(".py"), f"{module}:{node.lineno} {name}", wanting(node, named)


def main(parts: list[str]) -> int:
    """Print places and counts; 1 where something is wanting."""
    total, lacking = Counter[str](), Counter[str]()
    for part, place, lacks in check():
        total[part] += 1
        lacking[part] += bool(lacks)
        if lacks and (not parts or part in parts):
            print(f"{place}: {'; '.join(lacks)}")
    for part in sorted(total):
        print(f"{part:12} {lacking[part]:4} of {total[part]}")
    print(f"{'all':12} {sum(lacking.values()):4} of {sum(total.values())}")
    return int(any(lacking[part] for part in parts or lacking))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
