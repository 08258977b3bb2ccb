"""The layouts of YOLO data sets: where images, splits and names are, recognised by the files that exist."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from yolopipe.errors import ConfigError, DataError, Problem, UsageError
from yolopipe.formats.class_names import read_class_names
from yolopipe.formats.text_lines import read_lines
from yolopipe.formats.yaml_file import read_yaml
from yolopipe.importing.source_files import SPLIT_NAMES, list_images

__all__ = ["ListedImage", "YoloLayout", "find_layout", "label_candidates"]


class ListedImage(NamedTuple):
    """One image and where it is listed.

    Args:
        picture: its path.
        file: the list, or the image itself where a folder was searched.
        line: 1-based line there, or 0.
    """

    picture: Path
    file: str
    line: int


@dataclass(slots=True)
class YoloLayout:
    """A YOLO data set.

    Args:
        splits: images of each split.
        names: class names; empty where there are none.
        order: where the names come from, in words.
        problems: what makes the data unusable.
        notes: what the user should know.
        inputs: files that were read.
        folder: the images folder of a data set without split files; images of no split are left out.
    """

    splits: dict[str, list[ListedImage]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    order: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)
    folder: Path | None = None


def find_layout(root: Path) -> YoloLayout:
    """Recognise the layout of a YOLO data set by its files.

    Args:
        root: a ``data.yaml``, a darknet ``.data`` file, or a folder.

    Raises:
        DataError: none of the layouts.
        UsageError: several candidates.
    """
    if root.is_file():
        file: Path | None = root
    else:
        yamls = [f for f in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if _has_names(f)]
        file = _only(yamls) or _only(sorted(root.glob("*.data")))
    if file is None:
        return _from_folder(root)
    if file.suffix in (".yaml", ".yml"):
        return _from_yaml(file)
    if file.suffix == ".data":
        return _from_darknet(file)
    raise DataError(f"{file} is not a YOLO data set; expected a folder, a data.yaml or a darknet .data file")


def _has_names(file: Path) -> bool:
    return any(line is not None and re.match(r"names\s*:", line) for line in read_lines(file))


def _only(files: Sequence[Path]) -> Path | None:
    if len(files) > 1:
        raise UsageError(f"{' and '.join(map(str, files))}: name the one to import")
    return files[0] if files else None


def _from_yaml(file: Path) -> YoloLayout:
    tree = _load(file)
    layout = YoloLayout(order=f"as in {file}", inputs={str(file)})
    bases = _bases(file, tree.get("path"))
    for key in tree:
        split = SPLIT_NAMES.get(str(key).lower())
        if split is None or not tree[key]:
            continue
        entries = tree[key] if isinstance(tree[key], list) else [tree[key]]
        line = tree.lc.key(key)[0] + 1
        for entry in entries:
            _add_entry(layout, split, str(entry), bases, (file, line))
    if "kpt_shape" in tree:
        line = tree.lc.key("kpt_shape")[0] + 1
        message = "labels of key points are not read; they look like polygons"
        layout.problems.append(Problem(str(file), line, 0, "key-points", message))
    layout.names = _yaml_names(layout, file, tree)
    return layout


def _load(file: Path) -> Any:
    try:
        tree = read_yaml(file)
    except ConfigError as error:  # an error of params.yaml; this file is data
        raise DataError(error.message) from None
    if not isinstance(tree, dict):
        raise DataError(f"{file}: expected keys such as train, val and names")
    return tree


def _bases(file: Path, path: Any) -> list[Path]:
    """Folders that the paths of a data.yaml may be relative to."""
    return [*([file.parent / str(path)] if path else []), file.parent, Path()]


def _add_entry(layout: YoloLayout, split: str, text: str, bases: Sequence[Path], place: tuple[Path, int]) -> None:
    """Add the images of one value of ``train:``, a folder of images or a list of them.

    A missing or empty test split is left out, with a note where it is missing: many data sets ship without theirs.
    """
    candidates = [base / name for base in bases for name in _variants(text)]
    path = next((path for path in candidates if path.exists()), None)
    found: list[ListedImage] = []
    if path is None:
        problem = Problem(str(place[0]), place[1], 0, "missing-split", f"{split}: no folder or file {text}")
        (layout.notes if split == "test" else layout.problems).append(problem)
    elif path.is_file():
        found = list(_from_list(layout, path, bases))
    else:
        found = _listed(path)
    if found or split != "test":
        layout.splits.setdefault(split, []).extend(found)


def _variants(text: str) -> Iterator[str]:
    """A path as written, and without a prefix that tools add: Roboflow's ``../``, darknet's and CVAT's ``data/``."""
    text = text.replace("\\", "/")
    yield text
    for prefix in ("../", "data/"):
        if text.startswith(prefix):
            yield text.removeprefix(prefix)


def _from_list(layout: YoloLayout, file: Path, bases: Sequence[Path]) -> Iterator[ListedImage]:
    layout.inputs.add(str(file))
    for number, line in enumerate(read_lines(file), start=1):
        if line is None:
            message = "the line is not UTF-8 text"
            layout.problems.append(Problem(str(file), number, 0, "not-utf8", message, scope="image"))
        elif line.strip():
            text = line.strip()
            candidates = [base / name for base in (file.parent, *bases) for name in _variants(text)]
            picture = next((path for path in candidates if path.is_file()), None)
            if picture is None:
                problem = Problem(str(file), number, 0, "missing-image", f"no image file {text}", text, scope="image")
                layout.problems.append(problem)
            else:
                yield ListedImage(picture, str(file), number)


def _listed(folder: Path) -> list[ListedImage]:
    return [ListedImage(picture, str(picture), 0) for picture in list_images(folder)]


def _yaml_names(layout: YoloLayout, file: Path, tree: Any) -> tuple[str, ...]:
    names, count = tree.get("names"), tree.get("nc")
    if isinstance(names, dict):
        wrong = sorted(map(str, names)) != sorted(map(str, range(len(names))))
        found = [names[key] for key in sorted(names, key=str if wrong else int)]
    else:
        wrong, found = not isinstance(names, list) or not names, list(names) if isinstance(names, list) else []
    line = tree.lc.key("names")[0] + 1 if "names" in tree else 0
    if wrong:
        message = "expected the class names as a list, or as a mapping from 0, 1, 2 ..."
        layout.problems.append(Problem(str(file), line, 0, "class-names", message))
    if count is not None and count != len(found):
        line, message = tree.lc.key("nc")[0] + 1, f"nc is {count}, but there are {len(found)} names"
        layout.problems.append(Problem(str(file), line, 0, "class-count", message))
    return _checked(layout, (file, line), [str(name).strip() for name in found])


def _checked(layout: YoloLayout, place: tuple[Path, int], names: Sequence[str]) -> tuple[str, ...]:
    """The names; blank and repeated ones are problems."""
    for number, name in enumerate(names):
        if not name or name in names[:number] or len(name.splitlines()) > 1:
            message = f"class {number} is called {name!r}: blank, not one line, or the name of another class"
            layout.problems.append(Problem(str(place[0]), place[1], 0, "class-names", message))
    return tuple(names)


def _from_darknet(file: Path) -> YoloLayout:
    """``classes = 2``, ``train = data/train.txt``, ``valid = data/test.txt``, ``names = data/obj.names``."""
    layout = YoloLayout(inputs={str(file)})
    bases = [file.parent, file.parent.parent, Path()]
    values: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(read_lines(file), start=1):
        key, separator, value = (line or "").partition("=")
        if separator and not key.lstrip().startswith("#"):
            values[key.strip().lower()] = (value.strip(), number)
    for key, (value, number) in values.items():
        if key in SPLIT_NAMES:
            _add_entry(layout, SPLIT_NAMES[key], value, bases, (file, number))
    text, number = values.get("names", ("obj.names", 0))
    names = next((b / v for b in bases for v in _variants(text) if (b / v).is_file()), None)
    if names is None:
        layout.problems.append(Problem(str(file), number, 0, "class-names", f"no file {text} with the class names"))
    else:
        _take_names(layout, names)
    count, number = values.get("classes", ("", 0))
    if names is not None and count and count != str(len(layout.names)):
        message = f"classes is {count}, but {names} has {len(layout.names)} names"
        layout.problems.append(Problem(str(file), number, 0, "class-count", message))
    return layout


def _take_names(layout: YoloLayout, file: Path) -> None:
    """One name a line."""
    layout.names = read_class_names(file)
    layout.order = f"as in {file}"
    layout.inputs.add(str(file))
    if file.name == "classes.txt" and len(layout.names) > 1 and list(layout.names) == sorted(layout.names):
        message = (
            "the names are in alphabetical order; Label Studio sorts them, so check the order against the project"
        )
        layout.notes.append(Problem(str(file), 0, 0, "class-order", message))


def _from_folder(root: Path) -> YoloLayout:
    layout = YoloLayout()
    names = _only(sorted([*root.glob("classes.txt"), *root.glob("*.names")]))
    if names is not None:
        _take_names(layout, names)
    lists = {key: root / f"{key}.txt" for key in SPLIT_NAMES if (root / f"{key}.txt").is_file()}
    for key, file in lists.items():
        layout.splits.setdefault(SPLIT_NAMES[key], []).extend(_from_list(layout, file, [root, root.parent, Path()]))
    if not lists:
        layout.folder = root / "images" if (root / "images").is_dir() else root
        layout.splits = dict(_folder_splits(layout.folder, root))
    if not any(layout.splits.values()) and not layout.problems:
        raise DataError(
            f"no YOLO data set in {root}: no data.yaml, no .data file, no train.txt, no images",
            hint="name the folder that contains images/ and labels/, or the data.yaml",
        )
    return layout


def _folder_splits(folder: Path, root: Path) -> Iterator[tuple[str, list[ListedImage]]]:
    """``images/train``, or ``train`` (with ``images`` in it); else all as one."""
    for place in (folder, root):
        found = [(name, place / key) for key, name in SPLIT_NAMES.items() if (place / key).is_dir()]
        if found:
            yield from ((name, _listed(path)) for name, path in found)
            return
    yield "all", _listed(folder)


def label_candidates(picture: Path) -> Iterator[Path]:
    """Where the label file of an image may be: its last ``/images/`` replaced by ``/labels/``, else beside it."""
    path = os.path.abspath(picture)
    stem = os.path.splitext(path)[0]
    head, separator, tail = stem.rpartition("/images/")
    if separator:
        yield Path(f"{head}/labels/{tail}.txt")
    yield Path(f"{stem}.txt")
