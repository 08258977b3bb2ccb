"""The wording of the package: every text that a user can see is in tests/messages.txt, so that a diff shows it.

A text is a string or f-string of the package that holds a blank and a word, wherever it is (a message is often put
together from parts), or a docstring of the command line, which Typer shows as help.  Not covered: the text in the
templates and scripts of the two HTML pages, and texts of a single word.

``make messages`` (``python tests/test_messages.py``) regenerates the file.
"""

import ast
import difflib
import re
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
PACKAGE = REPO / "yolopipe"
GOLDEN = REPO / "tests/messages.txt"
NO_MESSAGES = ("re.compile", "re.search", "re.fullmatch", "re.sub", "re.findall", "re.split")

BANNED = {
    r"anew": "again, or: regenerate",
    r"mend(s|ed|ing)?": "fix",
    r"telephones?": "phone",
    r"taught nowhere": "not assigned to any anchor",
    r"is a lie": "is meaningless",
    r"to nobody": "say who or what is meant",
    r"of theirs": "name whose",
    r"let(ting|s)? go of": "release",
    r"may be had": "is available",
    r"invented": "false positive",
    r"punish\w*": "penalize",
    r"wish(es|ed)?": "option, request",
    r"the notes|notes [0-9]\.[0-9]|notes['’](?= )": "a section of docs/formulas.md; the reference formulas",
}
"""Words that are not the terms of the field, or that a reader in another country looks up; and what to write."""


def literal(node):
    """A string or f-string as text, its holes as {expression}."""
    if isinstance(node, ast.Constant):
        return node.value
    parts = (
        part.value if isinstance(part, ast.Constant) else "{" + ast.unparse(part.value) + "}" for part in node.values
    )
    return "".join(parts)


def is_text(node):
    """A literal with a blank in it and a word of two letters outside its holes."""
    if isinstance(node, ast.Constant):
        words = node.value if isinstance(node.value, str) else ""
    elif isinstance(node, ast.JoinedStr):
        words = "".join(part.value if isinstance(part, ast.Constant) else "0" for part in node.values)
    else:
        return False
    return re.search(r"\S\s+\S", words) is not None and re.search(r"[A-Za-z]{2}", words) is not None


class Texts(ast.NodeVisitor):
    """The texts of one module in the order of its lines: (qualified name of where, text)."""

    def __init__(self, module, *, docstrings_too):
        self.where, self.docstrings_too, self.found = [module], docstrings_too, []

    def visit(self, node):
        if is_text(node):
            self.found.append((".".join(self.where), literal(node)))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.where.append(node.name)
            self.generic_visit(node)
            self.where.pop()
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if self.docstrings_too and len(self.where) > 1:
                self.generic_visit(node)
        elif not (isinstance(node, ast.Call) and ast.unparse(node.func) in NO_MESSAGES):
            self.generic_visit(node)


@cache
def messages():
    """Every text, one a line: ``module.function: text``."""
    lines = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE).with_suffix("")
        texts = Texts(".".join(inside.parts), docstrings_too=inside.parts[0] == "cli")
        texts.visit(ast.parse(path.read_text()))
        lines += [f"{where}: {' '.join(text.split())}" for where, text in texts.found]
    return lines


def test_the_messages_are_those_of_the_golden_file():
    written = GOLDEN.read_text().splitlines() if GOLDEN.exists() else []
    diff = list(difflib.unified_diff(written, messages(), "tests/messages.txt", "yolopipe", n=0, lineterm=""))
    assert not diff, "\n".join([*diff, "", "make messages  regenerates the file; read its diff before you commit it"])


def docstrings(path):
    """(line, text) of every docstring, also of those under constants."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def prose():
    """(place, text) of everything that people read: messages, docstrings, documents, the pages' templates."""
    yield from (("message", line) for line in messages())
    for path in sorted(PACKAGE.rglob("*.py")):
        yield from ((f"{path.relative_to(REPO)}:{line}", text) for line, text in docstrings(path))
    documents = [*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("examples/*/README.md")]
    templates = [path for path in PACKAGE.rglob("*") if path.suffix in (".html", ".js")]
    for path in sorted({*documents, *templates, REPO / "benchmarks/README.md"}):
        yield str(path.relative_to(REPO)), path.read_text()


@cache
def paragraphs():
    """:func:`prose`, each text on one line."""
    return [(place, " ".join(text.split())) for place, text in prose()]


@pytest.mark.parametrize("pattern", BANNED)
def test_plain_words(pattern):
    word = re.compile(rf"(?<![\w`-])({pattern})(?![\w`-])", re.IGNORECASE)
    found = [
        f"{place}: ...{text[max(0, match.start() - 40) : match.end() + 40]}..."
        for place, text in paragraphs()
        for match in word.finditer(text)
    ]
    assert not found, "\n".join([f"write instead: {BANNED[pattern]}", *found])


if __name__ == "__main__":
    GOLDEN.write_text("".join(f"{line}\n" for line in messages()))
