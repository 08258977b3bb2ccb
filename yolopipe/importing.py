"""Other people's formats to annotation text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from yolopipe import console
from yolopipe.errors import DataError, Problem, ProblemsError, UsageError
from yolopipe.files import atomic_file
from yolopipe.formats.annotation_text import format_annotation
from yolopipe.formats.class_names import read_class_names, write_class_names
from yolopipe.formats.voc import VocImage, VocObject, read_voc_splits, read_voc_xml
from yolopipe.stages import StageResult

__all__ = ["import_voc"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")

Names = Mapping[str, Sequence[tuple[int, str]]]
"""Split to (line of its list, image name)."""


def import_voc(
    source: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    classes: str | Path | None = None,
) -> StageResult:
    """Turn a Pascal VOC folder into annotation text.

    Coordinates are kept as written, whole or not: VOC counts pixels from 1, so its boxes sit half a pixel to a pixel
    down and right of the truth, as they do in every tool that reads VOC.  Boxes without area are passed on, for
    ``parse`` reports them; objects marked difficult are kept and counted.

    Args:
        source: folder with ``Annotations`` and ``JPEGImages``, and mostly ``ImageSets/Main``.
        out: folder for ``SPLIT.txt`` and ``classes.names``.
        splits: which lists of ``ImageSets/Main`` to take; all by default.  Without any lists: one ``all.txt``.
        classes: a names file that fixes the order; by default all names in ``Annotations``, sorted, so that the
            order is the same on every machine and for every choice of splits.

    Returns:
        What was read and written.

    Raises:
        DataError: not a VOC folder.
        UsageError: a split that is not there.
        ProblemsError: everything broken in the XML files and lists, at once; nothing is written then.
    """
    root = Path(source)
    files = {file.stem: file for file in sorted((root / "Annotations").glob("*.xml"))}
    if not files:
        raise DataError(
            f"no Annotations/*.xml in {root}; expected a Pascal VOC folder",
            hint="name the folder that holds Annotations, JPEGImages and ImageSets",
        )
    lists = read_voc_splits(root)
    listed = _chosen(lists, splits, root) or {"all": [(0, name) for name in files]}
    images = _read_images(files)
    problems = [problem for image in images.values() for problem in image.problems]
    names = read_class_names(classes) if classes is not None else _sorted_names(images)
    if classes is not None:
        problems += _unknown_names(images, files, names, str(classes))
    found, missing = _find_pictures(listed, images, root)
    problems += missing
    if problems:
        many = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
        raise ProblemsError(f"{many} in {root}; nothing was written", problems, hint="mend the files and run again")
    if not names:
        raise DataError(f"no <object> in {root / 'Annotations'}: no class, nothing to learn")
    texts = {split: _lines(listed[split], images, found, names) for split in listed}
    _write(Path(out), texts, names)
    left_out = sum(file.stem not in lists for file in (root / "ImageSets" / "Main").glob("*.txt"))
    return _result(Path(out), listed, images, names, left_out)


def _chosen(lists: Names, splits: Sequence[str] | None, root: Path) -> Names:
    if splits is None:
        return lists
    unknown = [split for split in splits if split not in lists]
    if unknown:
        here = ", ".join(lists) or "no lists at all"
        raise UsageError(f"no ImageSets/Main/{unknown[0]}.txt in {root}; there: {here}")
    return {split: lists[split] for split in splits}


def _read_images(files: Mapping[str, Path]) -> dict[str, VocImage]:
    images = {}
    with console.progress("import voc", len(files), unit="files") as advance:
        for name, file in files.items():
            images[name] = read_voc_xml(file)
            advance(1)
    return images


def _sorted_names(images: Mapping[str, VocImage]) -> tuple[str, ...]:
    return tuple(sorted({item.name for image in images.values() for item in image.objects}))


def _unknown_names(
    images: Mapping[str, VocImage], files: Mapping[str, Path], names: Sequence[str], names_file: str
) -> list[Problem]:
    return [
        Problem(str(files[name]), item.line, 0, "unknown-class", f"class {item.name!r} is not in {names_file}")
        for name, image in images.items()
        for item in image.objects
        if item.name not in names
    ]


def _find_pictures(listed: Names, images: Mapping[str, VocImage], root: Path) -> tuple[dict[str, str], list[Problem]]:
    """Image name to the path to write, and what is missing."""
    found: dict[str, str] = {}
    problems = []
    for split, names in listed.items():
        file = str(root / "ImageSets" / "Main" / f"{split}.txt") if names and names[0][0] else str(root)
        for line, name in names:
            if name not in images:
                message = f"image {name} has no Annotations/{name}.xml"
                problems.append(Problem(file, line, 0, "missing-xml", message, name))
            elif name not in found:
                picture = _picture(root / "JPEGImages", name, images[name].filename)
                if picture is None:
                    message = f"image {name} has no JPEGImages/{name}.jpg (nor .png, ...)"
                    problems.append(Problem(file, line, 0, "missing-image", message, name))
                else:
                    found[name] = _shown(picture)
    return found, problems


def _picture(folder: Path, name: str, filename: str) -> Path | None:
    """The image of an XML file: by the XML's own name, else by the name written in it."""
    candidates = [folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES]
    if filename:
        candidates.append(folder / Path(filename.replace("\\", "/")).name)
    return next((file for file in candidates if file.is_file()), None)


def _shown(picture: Path) -> str:
    """Relative to the project folder where the image lies in it, else absolute."""
    absolute = os.path.abspath(picture)
    here = os.path.join(os.getcwd(), "")
    return Path(absolute.removeprefix(here)).as_posix()


def _lines(
    names: Sequence[tuple[int, str]], images: Mapping[str, VocImage], found: Mapping[str, str], classes: Sequence[str]
) -> list[str]:
    number = {name: index for index, name in enumerate(classes)}
    return [
        format_annotation(found[name], [(*item.box_xyxy, number[item.name]) for item in images[name].objects])
        for _, name in names
    ]


def _write(out: Path, texts: Mapping[str, Sequence[str]], classes: Sequence[str]) -> None:
    for split, lines in texts.items():
        with atomic_file(out / f"{split}.txt") as partial:
            partial.write_bytes("".join(f"{line}\n" for line in lines).encode())
    write_class_names(out / "classes.names", classes)


def _has_area(item: VocObject) -> bool:
    x1, y1, x2, y2 = item.box_xyxy
    return x1 < x2 and y1 < y2


def _result(
    out: Path, listed: Names, images: Mapping[str, VocImage], classes: Sequence[str], left_out: int
) -> StageResult:
    rows: dict[str, object] = {}
    report: dict[str, object] = {"classes": list(classes)}
    for split, names in listed.items():
        objects = [item for _, name in names for item in images[name].objects]
        per_class = Counter(item.name for item in objects)
        facts = {
            "images": len(names),
            "boxes": len(objects),
            "difficult": sum(item.difficult for item in objects),
            "without_area": sum(not _has_area(item) for item in objects),
            "boxes_per_class": {name: per_class[name] for name in classes},
        }
        report[split] = facts
        rows[split] = f"{facts['images']:,} images, {facts['boxes']:,} boxes" + _asides(facts)
    if left_out:
        rows["left out"] = f"{left_out:,} lists of one class in ImageSets/Main (names with -1, 0 or 1)"
    rows["classes"] = ", ".join(f"{index} {name}" for index, name in enumerate(classes))
    rows["written"] = f"{out}/{{{','.join(listed)}}}.txt, classes.names"
    title = f"import voc: {len(images):,} files, {len(classes):,} class{'es' if len(classes) > 1 else ''}"
    next_step = f"name {out}/... under data: in params.yaml, then: yolopipe parse"
    return StageResult(title, rows, report, next_step=next_step)


def _asides(facts: Mapping[str, object]) -> str:
    difficult, flat = facts["difficult"], facts["without_area"]
    text = f", {difficult} of them difficult" if difficult else ""
    return text + (f", {flat} of them without area (parse will report them)" if flat else "")
