"""Label Studio reader: the exports "JSON" and "JSON-MIN".

Percentages are of the upright image, as Label Studio shows it.  Polygons, ellipses and rotated rectangles become
their bounds and are counted.  Of several annotations of a task the ground truth counts, else the newest; cancelled
ones do not, and predictions are ignored.  A task without annotation has not been labelled: it is left out, counted.
"""

from __future__ import annotations

from pathlib import Path

from yolopipe.errors import DataError
from yolopipe.formats.label_studio import StudioTask, read_label_studio
from yolopipe.importing.gathering import Gathering, data_files, split_of_file, split_of_word
from yolopipe.importing.reading import ImportRequest, Reading

__all__ = ["is_label_studio", "read"]

WORDS = {
    "shapes_made_boxes": "polygons, ellipses and rotated rectangles made boxes",
    "several_labels": "regions of several labels, a box for each",
    "other_results_left_out": "results without box and class left out",
    "other_annotations_left_out": "older or further annotations of the same task left out",
    "tasks_without_annotation": "tasks without annotation left out",
}


def read(request: ImportRequest) -> Reading:
    """Read a JSON file, or those of a folder.

    The split is ``split`` of the task's data, else the word train, val(id) or test in the path of the file.

    Raises:
        DataError: no such JSON file.
        UsageError: a split that does not exist.
    """
    root = request.root
    files = data_files(request, ".json", is_label_studio)
    if not files:
        hint = "export the project as JSON and name the file, or the folder with it and the pictures"
        raise DataError(f"no Label Studio JSON in {root}; expected a list of tasks", hint=hint)
    gathering = Gathering("label-studio", request, order="by name", words=WORDS)
    gathering.reading.fractions = True
    for file in files:
        gathering.reading.inputs.add(str(file))
        tasks, problems = read_label_studio(file)
        gathering.reading.problems += problems
        split = split_of_file(request, file)
        for task in tasks:
            _add(gathering, file, split_of_word(task.split) if task.split else split, task)
    return gathering.finish()


def is_label_studio(file: Path) -> bool:
    """Whether a JSON file starts as a list of tasks."""
    with file.open("rb") as stream:
        start = stream.read(65536).lstrip(b"\xef\xbb\xbf \t\r\n")
    keys = (b'"annotations"', b'"predictions"', b'"completions"', b'"annotation_id"', b'labels"', b'"data"')
    return start[:1] == b"[" and any(key in start for key in keys)


def _add(gathering: Gathering, file: Path, split: str, task: StudioTask) -> None:
    if not task.annotated:
        gathering.count(split, "tasks_without_annotation")
        return
    row = gathering.image(split, [task.image], (file, task.place.line), size_wh=task.size_wh)
    for region in task.regions:
        for label in region.labels:
            gathering.box(split, row, label, region.box_xyxy, *task.place)
    gathering.count(split, "shapes_made_boxes", sum(not region.is_upright for region in task.regions))
    gathering.count(split, "several_labels", sum(len(region.labels) > 1 for region in task.regions))
    gathering.count(split, "other_results_left_out", task.left_out)
    gathering.count(split, "other_annotations_left_out", task.other_annotations)
