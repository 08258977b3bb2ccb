"""Pascal VOC reader.

XML files and images are found wherever they lie, by their names; folders only decide where several fit.  Coordinates
are kept as written: VOC counts pixels from 1, so its boxes are half a pixel to a pixel too far right and down, as in
every tool that reads VOC.  By default the class order is that of all names in the XML files, sorted, so that it is
the same on every machine and for every choice of splits.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from yolopipe import console
from yolopipe.errors import DataError, Problem
from yolopipe.formats.voc import VocImage, is_class_list, read_voc_list, read_voc_xml
from yolopipe.importing.reading import Counted, ImportRequest, Reading, SourceSplit, SplitBuilder, choose_splits
from yolopipe.importing.source_files import (
    IMAGE_SUFFIXES,
    SPLIT_NAMES,
    FileIndex,
    common_end,
    folded,
    list_images,
    shown_path,
    walk_files,
)

__all__ = ["read"]

PICTURE_FOLDERS = {"jpegimages", "images", "image", "imgs", "img", "data", "pictures", "photos"}
"""Where the image is, and not a mask of it, if several files have its name."""


class _Item(NamedTuple):
    """One image: its XML file, its picture, or both."""

    xml: Path | None
    picture: Path | None


def read(request: ImportRequest) -> Reading:
    """Read XML files, their pictures and, usually, the lists in ``ImageSets/Main``.

    Without lists the splits are the folders ``train``, ``valid`` ..., else everything is one ``all.txt``.

    Raises:
        DataError: no XML file.
        UsageError: a split that does not exist.
    """
    return _Voc(request).read()


class _Voc:
    """The files of a data set, and the reading made of them."""

    def __init__(self, request: ImportRequest) -> None:
        self.request, self.root = request, request.root
        folder = self.root.parent if self.root.is_file() else self.root
        self.xml_root = request.annotations or self.root
        self.picture_root = request.images or folder
        files = [self.xml_root] if self.xml_root.is_file() else walk_files(self.xml_root, (".xml",))
        if not files:
            raise DataError(
                f"no XML file in {self.xml_root} or the folders below; expected Pascal VOC, one XML file an image",
                hint="name the folder with the XML files: --annotations DIR",
            )
        self.xml = FileIndex(files)
        self.pictures = FileIndex(list_images(self.picture_root))
        self.reading = Reading("voc", self.root, order="by name")
        self.images = self._read_files()
        self.items = self._match()

    def _read_files(self) -> dict[Path, VocImage]:
        images = {}
        with console.progress("import voc", len(self.xml.files), unit="files") as advance:
            for file in self.xml.files:
                images[file] = read_voc_xml(file)
                advance(1)
        return images

    def _match(self) -> list[_Item]:
        """XML files with their pictures; then the other pictures of folders in which a picture has an XML file."""
        items = []
        for file in self.xml.files:
            picture = self._picture(file, self.images[file].filename)
            if picture is None and not self.images[file].is_voc:
                message = "not Pascal VOC, and no image has its name: passed over"
                self.reading.notes.append(Problem(str(file), 0, 0, "other-xml", message))
                continue
            items.append(_Item(file, picture))
            name = file.stem if picture is None else shown_path(picture)
            self.reading.problems += [dataclasses.replace(p, image=name) for p in self.images[file].problems]
        used = {item.picture for item in items}
        items += [_Item(None, picture) for picture in self.pictures.files if picture not in used]
        return items

    def _picture(self, file: Path, filename: str) -> Path | None:
        """The picture of an XML file: by the XML file's own name, else by the name written in it."""
        written = folded(filename.replace("\\", "/").rpartition("/")[2])
        found = self.pictures.of_stem(file.stem)
        if not found and written:
            found = self.pictures.find(filename) or self.pictures.of_stem(written)
        if len(found) < 2:
            return found[0] if found else None
        ranks = {picture: self._rank(file, picture, written) for picture in found}
        best = max(ranks.values())
        alike = [picture for picture in found if ranks[picture] == best]
        if len({picture.parent for picture in alike}) > 1:
            names = " and ".join(map(str, alike[:3]))
            message = f"{names} are equally likely to be its image; name the folder: --images DIR"
            self.reading.problems.append(
                Problem(str(file), 0, 0, "ambiguous-image", message, file.stem, scope="image")
            )
            return None
        return min(alike, key=lambda picture: IMAGE_SUFFIXES.index(picture.suffix.lower()))

    def _rank(self, file: Path, picture: Path, written: str) -> tuple[object, ...]:
        here, there = _folders(file, self.xml_root), _folders(picture, self.picture_root)
        start = common_end(here[::-1], there[::-1])
        return (
            file.parent == picture.parent,
            folded(picture.name) == written,
            not PICTURE_FOLDERS.isdisjoint(there),
            start + common_end(here, there),
            picture.stem == file.stem,
        )

    def read(self) -> Reading:
        """The reading."""
        reading = self.reading
        reading.names = tuple(sorted({item.name for image in self.images.values() for item in image.objects}))
        lists = self._lists()
        splits = self._listed(lists) if lists else self._by_folder()
        names = choose_splits(list(splits), self.request.splits, f"no split {{}} in {self.root}")
        for name in names:
            found = splits[name] if lists else self._with_pictures(splits[name])
            reading.splits[name] = self._split(found)
        return reading

    def _lists(self) -> dict[Path, list[tuple[int, str]]]:
        """The lists of images; those of one class are counted only."""
        folders = [] if self.root.is_file() else sorted({file.parent for file in walk_files(self.root, (".txt",))})
        folders = [folder for folder in folders if "imagesets" in _folders(folder / "-", self.root)]
        main = [folder for folder in folders if folded(folder.name) == "main"]
        lists, left_out = {}, 0
        for folder in main or [folder for folder in folders if folded(folder.name) == "imagesets"]:
            for file in walk_files(folder, (".txt",)):
                entries = read_voc_list(file)
                if is_class_list(entries, lambda name: bool(self.xml.of_stem(name))):
                    left_out += 1
                else:
                    lists[file] = entries
        if left_out:
            self.reading.rows["left out"] = f"{left_out:,} lists of one class (names with -1, 0 or 1)"
        self.reading.inputs = set(map(str, lists))
        return lists

    def _listed(self, lists: Mapping[Path, Sequence[tuple[int, str]]]) -> dict[str, list[_Item]]:
        """The images of each list; lists of the same name are one split."""
        wanted = self.request.splits
        splits: dict[str, list[_Item]] = {}
        by_stem = defaultdict(list)
        for item in self.items:
            for stem in {folded(path.stem) for path in item if path is not None}:
                by_stem[stem].append(item)
        listed: set[_Item] = set()
        for file, entries in lists.items():
            found = [(line, name, self._entry(file, name, by_stem)) for line, name in entries]
            listed.update(item for _, _, items in found for item in items)
            if wanted is not None and file.stem not in wanted:
                splits.setdefault(file.stem, [])
            elif found and all(items and items[0].xml is None for _, _, items in found):
                message = f"none of its {len(found):,} images has an XML file: the split {file.stem} is left out"
                self.reading.notes.append(Problem(str(file), 0, 0, "split-without-labels", message))
            else:
                splits.setdefault(file.stem, []).extend(self._usable(file, found))
        for item in self.items:
            if item.xml is not None and item not in listed:
                message = "in none of the lists: not imported"
                self.reading.notes.append(Problem(str(item.xml), 0, 0, "xml-in-no-list", message))
        left = sum(item.xml is None and item not in listed for item in self.items)
        if left:
            self.reading.rows["in no list"] = f"{left:,} images without XML file, not imported"
        return splits

    def _entry(self, file: Path, name: str, by_stem: Mapping[str, Sequence[_Item]]) -> list[_Item]:
        """The images that a line of a list may mean: with an XML file, if possible, and near the list."""
        parts = folded(name.replace("\\", "/")).split("/")
        stem, dot, suffix = parts[-1].rpartition(".")
        stem = stem if dot and f".{suffix}" in IMAGE_SUFFIXES else parts[-1]
        near = _folders(file, self.root)
        near = near[: near.index("imagesets")]

        def rank(item: _Item) -> tuple[object, ...]:
            folders = _folders(item.xml or item.picture or Path(), self.root)
            own = item.xml is not None and folded(item.xml.stem) == stem
            return item.xml is not None, own, folders[: len(near)] == near, common_end(folders, parts[:-1])

        ranked = [(rank(item), item) for item in by_stem.get(stem, ())]
        best = max((order for order, _ in ranked), default=())
        return [item for order, item in ranked if order == best]

    def _usable(self, file: Path, found: Sequence[tuple[int, str, list[_Item]]]) -> Iterator[_Item]:
        """Items with XML file and picture; the others are problems at their line."""
        for line, name, items in found:
            item = items[0] if items else _Item(None, None)
            if len(items) > 1:
                names = " and ".join(str(item.xml or item.picture) for item in items[:3])
                rule, message = "ambiguous-image", f"{name} may be {names}"
            elif item.xml is None:
                rule, message = "missing-xml", f"image {name} has no XML file {name}.xml in {self.xml_root}"
            elif item.picture is None:
                rule, message = "missing-image", self._no_picture(item.xml)
                name = item.xml.stem  # as its other problems say, so that it is one image that is lost
            else:
                yield item
                continue
            self.reading.problems.append(Problem(str(file), line, 0, rule, message, name, scope="image"))

    def _no_picture(self, file: Path) -> str:
        written = self.images[file].filename
        other = f", none called {written}" if written and Path(written).stem != file.stem else ""
        return f"no image {file.stem}.jpg (nor .png, ...){other} in {self.picture_root} or the folders below"

    def _by_folder(self) -> dict[str, list[_Item]]:
        """Items by the folder train, valid ... that their XML file or picture is in."""
        with_xml = {item.picture.parent for item in self.items if item.xml and item.picture}
        splits = defaultdict(list)
        unlabelled: Counter[Path] = Counter()
        for item in self.items:
            if item.xml is not None or (item.picture is not None and item.picture.parent in with_xml):
                splits[self._split_of(item)].append(item)
            elif item.picture is not None:
                unlabelled[item.picture.parent] += 1
        for folder, count in unlabelled.items():
            message = f"none of its {count:,} images has an XML file: they are left out"
            self.reading.notes.append(Problem(str(folder), 0, 0, "folder-without-labels", message))
        return splits

    def _split_of(self, item: _Item) -> str:
        of_xml = _folders(item.xml, self.xml_root) if item.xml else []
        of_picture = _folders(item.picture, self.picture_root) if item.picture else []
        return next((SPLIT_NAMES[name] for name in (*of_xml, *of_picture) if name in SPLIT_NAMES), "all")

    def _with_pictures(self, items: Sequence[_Item]) -> Iterator[_Item]:
        known = {problem.image for problem in self.reading.problems if problem.rule == "ambiguous-image"}
        for item in items:
            if item.picture is not None:
                yield item
            elif item.xml is not None and item.xml.stem not in known:
                file, message = item.xml, self._no_picture(item.xml)
                self.reading.problems.append(
                    Problem(str(file), 0, 0, "missing-image", message, file.stem, scope="image")
                )

    def _split(self, items: Iterator[_Item] | Sequence[_Item]) -> SourceSplit:
        number = {name: index for index, name in enumerate(self.reading.names)}
        split, counts = SplitBuilder(), Counter[str]()
        for file, picture in items:
            if picture is None:  # a problem already
                continue
            image = self.images[file] if file else VocImage("", [], [])
            counts["without_xml"] += file is None
            split.add_image(shown_path(picture), str(file or picture), size_wh=image.size_wh)
            for item in image.objects:
                split.add_box(item.box_xyxy, number[item.name], item.line, item.column, ignore=item.difficult)
                counts[item.shape] += 1
        return split.build(
            Counted("without_xml_file", counts["without_xml"], "images without XML file, kept as backgrounds"),
            Counted("rotated", counts["rotated"], "rotated boxes made upright"),
            Counted("polygons", counts["polygon"], "polygons made boxes"),
        )


def _folders(file: Path, root: Path) -> list[str]:
    """Names of the folders between a root and a file, folded; all of them for a file elsewhere."""
    if file == root:
        return []
    folder = file.parent.relative_to(root) if file.is_relative_to(root) else file.parent.absolute()
    return [folded(part) for part in folder.parts]
