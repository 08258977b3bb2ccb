"""The same small data set in every format that ``yolopipe import`` reads, written by hand from the documents.

``größe 1,a.png`` of 100x80 px has a dog (10,20,60,60) and a cat (0,0,50,40); ``b.png`` of 50x40 px has nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from yolopipe.errors import ProblemsError
from yolopipe.importing.import_data import import_data

NAME = "größe 1,a.png"
BOXES = {"dog": (10, 20, 60, 60), "cat": (0, 0, 50, 40)}


def draw_pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 80), (9, 99, 200)).save(folder / (names[0] if names else NAME))
    Image.new("RGB", (50, 40), (200, 9, 99)).save(folder / (names[1] if names[1:] else "b.png"))


def voc(folder: Path) -> None:
    draw_pictures(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    objects = "".join(
        f"\n<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, (x1, y1, x2, y2) in BOXES.items()
    )
    (folder / "Annotations/größe 1,a.xml").write_text(f"<annotation>{objects}\n</annotation>", encoding="utf-8")
    (folder / "Annotations/b.xml").write_text("<annotation></annotation>")


def coco(folder: Path) -> None:
    draw_pictures(folder)
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in BOXES.values()]
    document = {
        "images": [{"id": 1, "file_name": NAME}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 3 - n, "bbox": box} for n, box in enumerate(boxes, 1)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (folder / "instances.json").write_text(json.dumps(document))


def yolo(folder: Path) -> None:
    draw_pictures(folder / "images")
    (folder / "labels").mkdir()
    (folder / "labels/größe 1,a.txt").write_text("1 .35 .5 .5 .5\n0 .25 .25 .5 .5\n")
    (folder / "obj.names").write_text("cat\ndog\n")


def labelme(folder: Path) -> None:
    draw_pictures(folder)
    corners = [
        {"label": name, "points": [box[:2], box[2:]], "shape_type": "rectangle"} for name, box in BOXES.items()
    ]
    for name, shapes, size in ((NAME, corners, (100, 80)), ("b.png", [], (50, 40))):
        record = {"version": "5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None}
        record |= {"imageHeight": size[1], "imageWidth": size[0]}
        (folder / f"{Path(name).stem}.json").write_text(json.dumps(record, indent=2), encoding="utf-8")


def cvat(folder: Path) -> None:
    draw_pictures(folder / "images")
    boxes = "".join(
        f'\n    <box label="{name}" source="manual" occluded="0" xtl="{x1}.00" ytl="{y1}.00" xbr="{x2}.00" '
        f'ybr="{y2}.00" z_order="0"></box>'
        for name, (x1, y1, x2, y2) in BOXES.items()
    )
    labels = "".join(f"<label><name>{name}</name><type>any</type></label>" for name in ("cat", "dog"))
    (folder / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"  <meta><task><name>t</name><labels>{labels}</labels></task></meta>\n"
        f'  <image id="0" name="{NAME}" width="100" height="80">{boxes}\n  </image>\n'
        '  <image id="1" name="b.png" width="50" height="40">\n  </image>\n</annotations>\n',
        encoding="utf-8",
    )


def label_studio(folder: Path) -> None:
    draw_pictures(folder / "images")

    def region(name: str, box: tuple[int, ...]) -> dict[str, Any]:
        x1, y1, x2, y2 = (number * 100 / side for number, side in zip(box, (100, 80) * 2, strict=True))
        value = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": 0, "rectanglelabels": [name]}
        return {"type": "rectanglelabels", "original_width": 100, "original_height": 80, "value": value}

    tasks = [
        {
            "id": n,
            "annotations": [{"id": n, "was_cancelled": False, "result": result}],
            "data": {"image": f"/data/upload/1/0f1e2d3c-{name}"},
            "predictions": [],
        }
        for n, (name, result) in enumerate(((NAME, [region(*one) for one in BOXES.items()]), ("b.png", [])), 1)
    ]
    (folder / "project-1.json").write_text(json.dumps(tasks), encoding="utf-8")


def open_images(folder: Path) -> None:
    """It has no way to name an image without boxes, so ``b.png`` is left away."""
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (100, 80)).save(folder / "images" / NAME)
    rows = "".join(
        f'"größe 1,a",xclick,/m/{name},1,{x1 / 100},{x2 / 100},{y1 / 80},{y2 / 80},0,0,0,0,0\n'
        for name, (x1, y1, x2, y2) in BOXES.items()
    )
    head = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,"
    (folder / "boxes-bbox.csv").write_text(f"{head}IsInside\n{rows}", encoding="utf-8")
    (folder / "class-descriptions-boxable.csv").write_text("/m/cat,cat\n/m/dog,dog\n/m/never,never\n")


def tf_csv(folder: Path) -> None:
    draw_pictures(folder)
    rows = "".join(f'"{NAME}",100,80,{name},{x1},{y1},{x2},{y2}\n' for name, (x1, y1, x2, y2) in BOXES.items())
    text = f"filename,width,height,class,xmin,ymin,xmax,ymax\n{rows}b.png,50,40,,,,,\n"
    (folder / "_annotations.csv").write_text(text, encoding="utf-8")


def parquet(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [(NAME, BOXES), ("b.png", {})]
    draw_pictures(folder / "tmp")
    content = [(folder / "tmp" / name).read_bytes() for name, _ in rows]
    shutil.rmtree(folder / "tmp")
    boxes = [[[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in of.values()] for _, of in rows]
    features = {"objects": {"feature": {"category": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table(
        {
            "image": pa.array([{"bytes": one, "path": name} for one, (name, _) in zip(content, rows, strict=True)]),
            "objects": pa.array(
                [{"bbox": of, "category": [1, 0][: len(of)]} for of in boxes],
                pa.struct({"bbox": pa.list_(pa.list_(pa.float32())), "category": pa.list_(pa.int64())}),
            ),
        },
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    pq.write_table(table, folder / "data-00000-of-00001.parquet")


DRAWN: dict[str, Callable[[Path], None]] = {
    "voc": voc,
    "coco": coco,
    "yolo": yolo,
    "labelme": labelme,
    "cvat": cvat,
    "label-studio": label_studio,
    "open-images": open_images,
    "tf-csv": tf_csv,
    "parquet": parquet,
}


def faults_of(kind: str, *arguments: Any, **options: Any) -> list[tuple[str, int, str, str]]:
    """File, line, rule and scope of the problems of an import that fails; nothing may be written then."""
    with pytest.raises(ProblemsError) as caught:
        import_data(kind, *arguments, **options)
    assert not Path(arguments[1]).exists()
    return [(p.file, p.line, p.rule, p.scope) for p in caught.value.problems]


def text_of(file: str | Path) -> list[str]:
    """Lines of annotation text, without the folders of the images."""
    return [line.rpartition("/")[2] for line in Path(file).read_text(encoding="utf-8").splitlines()]
