"""The layouts of YOLO data sets: where images, splits and names are, recognised by the files that exist."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from yolopipe.errors import ConfigError, DataError, Problem, UsageError
from yolopipe.formats.class_names import read_class_names
from yolopipe.formats.text_lines import read_lines
from yolopipe.formats.yaml_file import read_yaml
from yolopipe.importing.reading import ImportRequest
from yolopipe.importing.source_files import SPLIT_NAMES, FileIndex, PathFinder, folded, list_images, walk_files

__all__ = ["ListedImage", "YoloLayout", "find_layout", "is_names_file", "label_candidates"]

_IMAGES = re.compile("/images/", re.IGNORECASE)
_PICTURES = re.compile("/(?:images?|jpegimages|imgs?|pictures|photos)/", re.IGNORECASE)
_DATA_YAML = re.compile(r"names\s*:|(nc|train|val)\s*:\s*[^\s#]")


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


@dataclass
class YoloLayout:
    """A YOLO data set.

    Args:
        root: its folder.
        request: what is to be imported.
        splits: images of each split.
        names: class names; empty where there are none.
        order: where the names come from, in words.
        problems: what makes the data unusable.
        notes: what the user should know.
        inputs: files that were read.
    """

    root: Path
    request: ImportRequest
    splits: dict[str, list[ListedImage]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    order: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)
    finder: PathFinder = field(default_factory=PathFinder)

    @cached_property
    def pictures(self) -> FileIndex:
        """All images below the root."""
        return FileIndex(list_images(self.root))


def find_layout(request: ImportRequest) -> YoloLayout:
    """Recognise the layout of a YOLO data set by its files.

    Args:
        request: its root is a ``data.yaml``, a darknet ``.data`` file, or a folder.

    Raises:
        DataError: none of the layouts.
        UsageError: several candidates.
    """
    root = request.root
    layout = YoloLayout(root.parent if root.is_file() else root, request)
    if root.is_file():
        file: Path | None = root
    else:
        yamls = [f for f in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if _is_data_yaml(f)]
        file = _only(yamls) or _only(sorted(root.glob("*.data")))
    if request.images is not None:
        layout.splits = dict(_folder_splits(layout, [request.images]))
    if file is None:
        _from_folder(layout)
    elif file.suffix in (".yaml", ".yml"):
        _from_yaml(layout, file)
    elif file.suffix == ".data":
        _from_darknet(layout, file)
    else:
        raise DataError(f"{file} is not a YOLO data set; expected a folder, a data.yaml or a darknet .data file")
    if not layout.names and request.classes is not None:
        _take_names(layout, request.classes)
    return layout


def _is_data_yaml(file: Path) -> bool:
    return any(line is not None and _DATA_YAML.match(line) for line in read_lines(file))


def _only(files: Sequence[Path]) -> Path | None:
    if len(files) > 1:
        raise UsageError(f"{' and '.join(map(str, files))}: name the one to import")
    return files[0] if files else None


def _from_yaml(layout: YoloLayout, file: Path) -> None:
    tree = _load(file)
    layout.order = f"as in {file}"
    layout.inputs.add(str(file))
    bases = [*([file.parent / str(tree["path"])] if tree.get("path") else []), *_bases(file)]
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
    _take_yaml_names(layout, file, tree)


def _load(file: Path) -> Any:
    try:
        tree = read_yaml(file)
    except ConfigError as error:  # an error of params.yaml; this file is data
        raise DataError(error.message) from None
    if not isinstance(tree, dict):
        raise DataError(f"{file}: expected keys such as train, val and names")
    return tree


def _bases(file: Path) -> list[Path]:
    """Folders that the paths in a file may be relative to: its own, the one above (Roboflow's SDK), the project's."""
    return [file.parent, Path(os.path.abspath(file)).parent.parent, Path()]


def _add_entry(layout: YoloLayout, split: str, text: str, bases: Sequence[Path], place: tuple[Path, int]) -> None:
    """Add the images of one value of ``train:``, a folder of images or a list of them.

    A missing or empty test split is left out, with a note where it is missing: many data sets ship without theirs.
    """
    wanted = layout.request.splits
    if layout.request.images is not None:
        return
    if wanted is not None and split not in wanted:
        layout.splits.setdefault(split, [])
        return
    path = _find(layout, text, bases)
    found: list[ListedImage] = []
    if path is None:
        message = f"{split}: no folder or file {text}"
        if split != "test":
            message += "; --images DIR names the folder of all images, --split NAME takes one split"
        problem = Problem(str(place[0]), place[1], 0, "missing-split", message)
        (layout.notes if split == "test" else layout.problems).append(problem)
    elif path.is_file():
        found = list(_from_list(layout, path, bases))
    else:
        found = _listed(path)
    if found or split != "test":
        layout.splits.setdefault(split, []).extend(found)


def _find(layout: YoloLayout, text: str, bases: Sequence[Path]) -> Path | None:
    """The file or folder that a path means, on this machine."""
    candidates = (layout.finder.find(base / name) for name in _variants(text) for base in bases)
    return next((Path(path) for path in candidates if path is not None), None)


def _variants(text: str) -> Iterator[str]:
    """A path as written, and without what tools and other machines put before it.

    Roboflow writes ``../``, darknet and CVAT ``data/``, notebooks ``/content/NAME/``.  Two parts at least stay,
    unless the path has no more: a missing ``../test/images`` does not mean ``images``.
    """
    text = text.replace("\\", "/")
    yield text
    for prefix in ("../", "data/"):
        if text.startswith(prefix):
            yield text.removeprefix(prefix)
    parts = [part for part in PurePosixPath(text).parts if part not in ("/", "..")]
    for start in range(len(parts) - 1):
        yield "/".join(parts[start:])


def _from_list(layout: YoloLayout, file: Path, bases: Sequence[Path]) -> Iterator[ListedImage]:
    layout.inputs.add(str(file))
    for number, line in enumerate(read_lines(file), start=1):
        if line is None:
            message = "the line is not UTF-8 text"
            layout.problems.append(Problem(str(file), number, 0, "not-utf8", message, scope="image"))
        elif line.strip():
            text = line.strip()
            picture = _find(layout, text, [file.parent, *bases])
            if picture is None or not picture.is_file():
                alike = layout.pictures.find(text)
                picture = alike[0] if len(alike) == 1 else None
            if picture is None:
                message = f"no image file {text}"
                layout.problems.append(Problem(str(file), number, 0, "missing-image", message, text, scope="image"))
            else:
                yield ListedImage(picture, str(file), number)


def _listed(folder: Path) -> list[ListedImage]:
    return [ListedImage(picture, str(picture), 0) for picture in list_images(folder)]


def _take_yaml_names(layout: YoloLayout, file: Path, tree: Any) -> None:
    names, count = tree.get("names"), tree.get("nc")
    line = tree.lc.key("names")[0] + 1 if "names" in tree else 0
    wrong = False
    if "names" not in tree:
        if layout.request.classes is not None:
            _take_names(layout, layout.request.classes)
        else:
            _take_names_of_folder(layout)
        found: list[Any] = list(layout.names)
        wrong = not found
    elif isinstance(names, dict):
        wrong = sorted(map(str, names)) != sorted(map(str, range(len(names))))
        found = [names[key] for key in sorted(names, key=str if wrong else int)]
    else:
        wrong, found = not isinstance(names, list) or not names, list(names) if isinstance(names, list) else []
    if wrong:
        message = "expected names: with the classes as a list, or as a mapping from 0, 1, 2 ...; or --classes FILE"
        layout.problems.append(Problem(str(file), line, 0, "class-names", message))
    elif count is not None and count != len(found):
        line, message = tree.lc.key("nc")[0] + 1, f"nc is {count}, but there are {len(found)} names"
        layout.problems.append(Problem(str(file), line, 0, "class-count", message))
    if "names" in tree:
        layout.names = _checked(layout, (file, line), [str(name).strip() for name in found])


def _checked(layout: YoloLayout, place: tuple[Path, int], names: Sequence[str]) -> tuple[str, ...]:
    """The names; blank and repeated ones are problems."""
    for number, name in enumerate(names):
        if not name or name in names[:number] or len(name.splitlines()) > 1:
            message = f"class {number} is called {name!r}: blank, not one line, or the name of another class"
            layout.problems.append(Problem(str(place[0]), place[1], 0, "class-names", message))
    return tuple(names)


def _from_darknet(layout: YoloLayout, file: Path) -> None:
    """``classes = 2``, ``train = data/train.txt``, ``valid = data/test.txt``, ``names = data/obj.names``."""
    layout.inputs.add(str(file))
    bases = _bases(file)
    values: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(read_lines(file), start=1):
        key, separator, value = (line or "").partition("=")
        if separator and not key.lstrip().startswith("#"):
            values[key.strip().lower()] = (value.strip(), number)
    for key, (value, number) in values.items():
        if key in SPLIT_NAMES:
            _add_entry(layout, SPLIT_NAMES[key], value, bases, (file, number))
    text, number = values.get("names", ("obj.names", 0))
    names = _find(layout, text, bases) or layout.request.classes
    if names is None:
        message = f"no file {text} with the class names; name one: --classes FILE"
        layout.problems.append(Problem(str(file), number, 0, "class-names", message))
    else:
        _take_names(layout, names)
    count, number = values.get("classes", ("", 0))
    if names is not None and count and count != str(len(layout.names)):
        message = f"classes is {count}, but {names} has {len(layout.names)} names"
        layout.problems.append(Problem(str(file), number, 0, "class-count", message))


def _take_names(layout: YoloLayout, file: Path) -> None:
    """One name a line."""
    layout.names = read_class_names(file)
    layout.order = f"as in {file}"
    layout.inputs.add(str(file))
    if file.name == "classes.txt" and len(layout.names) > 1 and list(layout.names) == sorted(layout.names):
        message = "the names are in alphabetical order, as Label Studio sorts them; check it against the project"
        layout.notes.append(Problem(str(file), 0, 0, "class-order", message))


def is_names_file(file: Path) -> bool:
    """Whether a file has the name of a list of classes.

    >>> is_names_file(Path("labels/classes.txt")), is_names_file(Path("train/_darknet.labels"))
    (True, True)
    """
    return folded(file.name) in ("classes.txt", "_darknet.labels") or file.suffix.lower() == ".names"


def _take_names_of_folder(layout: YoloLayout) -> None:
    """Names from the list of classes nearest to the root: ``classes.txt``, ``labels/classes.txt``, ``obj.names`` ...

    Raises:
        UsageError: several that differ.
    """
    places = [layout.root, *filter(None, [layout.request.annotations, layout.request.images])]
    places = [place for place in places if place.is_dir()]
    found = [file for place in places for file in walk_files(place, (".names", ".labels", "classes.txt"))]
    found = [file for file in dict.fromkeys(found) if is_names_file(file)]
    depth = min((len(file.parts) for file in found), default=0)
    nearest = {file.read_bytes(): file for file in reversed(found) if len(file.parts) == depth}
    names = _only(sorted(nearest.values()))
    if names is not None:
        _take_names(layout, names)


def _from_folder(layout: YoloLayout) -> None:
    root = layout.root
    if layout.request.classes is None:
        _take_names_of_folder(layout)
    if layout.request.images is None:
        lists = {key: layout.finder.find_file(root / f"{key}.txt") for key in SPLIT_NAMES}
        found = {key: file for key, file in lists.items() if file is not None}
        for key, file in found.items():
            entries = _from_list(layout, file, [root, root.parent, Path()])
            layout.splits.setdefault(SPLIT_NAMES[key], []).extend(entries)
        if not found:
            images = layout.finder.find(root / "images")
            folders = [Path(images), root] if images is not None and os.path.isdir(images) else [root]
            layout.splits = dict(_folder_splits(layout, folders))
    if not any(layout.splits.values()) and not layout.problems:
        where = layout.request.images or root
        raise DataError(
            f"no YOLO data set in {where}: no data.yaml, no .data file, no train.txt, no images",
            hint="name the folder that contains images/ and labels/, or the data.yaml",
        )


def _folder_splits(layout: YoloLayout, folders: Sequence[Path]) -> Iterator[tuple[str, list[ListedImage]]]:
    """``train`` ... in one of the folders, with ``images`` in it or not; else all of the first as one."""
    for place in folders:
        found = [(name, layout.finder.find(place / key)) for key, name in SPLIT_NAMES.items()]
        splits = [(name, Path(path)) for name, path in found if path is not None and os.path.isdir(path)]
        if splits:
            yield from ((name, _listed(path)) for name, path in splits)
            return
    yield "all", _listed(folders[0])


def label_candidates(picture: Path, labels: Path | None = None) -> list[str]:
    """Where the label file of an image may be, the likeliest first.

    In the folder of labels, if one is named; else its last ``/images/`` replaced by ``/labels/``, then beside it,
    then the same for other names of these two folders.

    >>> label_candidates(Path("/set/images/train/a.jpg"))
    ['/set/labels/train/a.txt', '/set/images/train/a.txt', '/set/annotations/train/a.txt']
    """
    stem = os.path.splitext(os.path.abspath(picture))[0]
    if labels is not None:
        parts = stem.split("/")
        return [f"{os.path.abspath(labels)}/{'/'.join(parts[-count:])}.txt" for count in (3, 2, 1)]
    found = [_replaced(_IMAGES, stem, "labels"), stem]
    found += [_replaced(_PICTURES, stem, name) for name in ("labels", "annotations")]
    return [f"{one}.txt" for one in dict.fromkeys(found) if one]


def _replaced(folder: re.Pattern[str], path: str, name: str) -> str:
    """The path with the last such folder renamed; empty where there is none."""
    last = deque(folder.finditer(path), 1)
    return f"{path[: last[0].start()]}/{name}/{path[last[0].end() :]}" if last else ""
