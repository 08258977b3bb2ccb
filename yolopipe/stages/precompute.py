"""Stage ``precompute``: tables of samples and source images to shards of pixels and sparse labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from yolopipe import console, paths
from yolopipe.cache.session import cache_session, record_run
from yolopipe.cache.settings import CacheRun, cache_bytes
from yolopipe.cache.store import close_store
from yolopipe.config.params import STRIDES, Config
from yolopipe.errors import Problem, ProblemsError
from yolopipe.files import atomic_directory, early_sync
from yolopipe.result import CommandResult
from yolopipe.shards.build import BuiltShard, build_shard
from yolopipe.shards.estimate import check_space
from yolopipe.shards.label_info import collisions_text, smaller_text, sum_labels
from yolopipe.shards.manifest import Manifest, SplitInfo, write_manifest
from yolopipe.shards.plan import PlannedShard, plan_shards
from yolopipe.shards.samples import SampleTable
from yolopipe.shards.tasks import ShardTasks
from yolopipe.tables import TableReader
from yolopipe.workers.mapping import map_unordered
from yolopipe.workers.pool import Workers

__all__ = ["run"]


def run(config: Config, *, workers: Workers = 1, cache_gb: float | None = None) -> CommandResult:
    """Write ``data/shards``: all shards and ``manifest.json``, or nothing.

    Args:
        config: reads ``precompute`` and ``assignment``.
        workers: processes; the result does not depend on it.
        cache_gb: size of the side cache of encoded pixels, 0 for none; the result does not depend on it.

    Returns:
        The summary: counts of the shards and of boxes without labels.

    Raises:
        ProblemsError: all images that cannot be read; nothing is written then.
        YolopipeError: the shards do not fit on the disk.
    """
    with atomic_directory(paths.SHARDS) as folder, cache_session(cache_bytes(cache_gb)) as cache:
        tasks = _with_cache(_tasks(config, folder), cache, folder)
        built = _build(tasks, workers)
        problems = [problem for shard in built for problem in shard.problems]
        if problems:
            raise _unreadable(problems)
        splits = {
            split: _split_info(
                [b for (_, plan), b in zip(tasks.plans, built, strict=True) if plan.name.startswith(f"{split}-")],
                config.precompute.input_sizes,
            )
            for split in ("train", "val")
        }
        manifest = _manifest(config, tasks.class_names, splits)
        write_manifest(folder, manifest)
        record_run(cache, **_pixel_counts(built))
    return _with_pixels(_result(manifest), built)


def _tasks(config: Config, folder: Path) -> ShardTasks:
    plans: list[tuple[SampleTable, PlannedShard]] = []
    for split in ("train", "val"):
        with TableReader(paths.AUGMENTED / f"{split}.parquet", made_by="augment") as reader:
            table, class_names = SampleTable(reader, folder / f"{split}.arrow"), reader.class_names
        shards = plan_shards(split, table.digests, table.copies, config.precompute.shard_rows)
        plans += [(table, shard) for shard in shards]
    return ShardTasks(plans, class_names, folder.absolute(), config.precompute, config.assignment)


def _with_cache(tasks: ShardTasks, cache: CacheRun | None, folder: Path) -> ShardTasks:
    """The tasks with a cache that leaves enough disk space for the shards."""
    expected = check_space(replace(tasks, cache=cache), folder)
    close_store()  # opened without the space to reserve
    return replace(tasks, cache=None if cache is None else replace(cache, reserve_bytes=expected))


def _build(tasks: ShardTasks, workers: Workers) -> list[BuiltShard]:
    built: dict[int, BuiltShard] = {}
    with console.progress("precompute", int(tasks.rows.sum())) as advance, early_sync() as sync:
        for index, shard in map_unordered(build_shard, tasks, workers=workers, name=lambda task: task.plan.name):
            built[index] = shard
            if shard.info is not None:
                sync(tasks.directory / shard.info.name)
            advance(int(tasks.rows[index]))
    return [built[index] for index in range(len(tasks))]


def _unreadable(problems: list[Problem]) -> ProblemsError:
    unique = sorted({str(problem): problem for problem in problems}.values(), key=str)
    count = f"{len(unique)} image{'s' if len(unique) > 1 else ''}"
    return ProblemsError(
        f"{count} cannot be read; no shard was written",
        unique,
        hint="fix them, or remove them from the annotation text; then: dvc repro",
    )


def _split_info(built: Sequence[BuiltShard], sizes: tuple[int, ...]) -> SplitInfo:
    shards = tuple(shard.info for shard in built if shard.info is not None)
    labels = {size: sum_labels(shard.labels[size] for shard in built) for size in sizes}
    return SplitInfo(
        rows=sum(shard.rows for shard in shards),
        copies=len({shard.copy for shard in shards}),
        boxes=sum(shard.boxes for shard in shards),
        backgrounds=sum(shard.backgrounds for shard in built),
        ignored=sum(shard.ignored for shard in built),
        boxes_per_class=tuple(np.sum([shard.boxes_per_class for shard in built], axis=0).tolist()),
        label_bytes=sum(shard.label_bytes for shard in built),
        shards=shards,
        smaller={str(size): labels[size] for size in sizes[:-1]},
        **vars(labels[sizes[-1]]),
    )


def _manifest(config: Config, class_names: tuple[str, ...], splits: dict[str, SplitInfo]) -> Manifest:
    params, assignment = config.precompute, config.assignment
    return Manifest(
        format=params.format,
        encoding=params.encoding,
        jpeg_quality=params.jpeg_quality,
        input_size=params.input_size,
        input_sizes=params.input_sizes,
        strides=STRIDES,
        anchors=tuple(tuple((float(w), float(h)) for w, h in scale) for scale in assignment.anchors_px),
        iou_threshold=assignment.iou_threshold,
        max_bbox_per_scale=assignment.max_bbox_per_scale,
        collisions=assignment.collisions,
        class_names=class_names,
        splits=splits,
    )


def _result(manifest: Manifest) -> CommandResult:
    rows: dict[str, object] = {}
    report: dict[str, Any] = {}
    for name, split in manifest.splits.items():
        size = sum(shard.bytes for shard in split.shards)
        report[name] = {
            **{key: getattr(split, key) for key in ("rows", "copies", "boxes", "ignored", "backgrounds")},
            "label_bytes": split.label_bytes,
            **{key: getattr(split, key) for key in ("overwritten", "partly_overwritten", "forced", "past_list_end")},
            "without_positive": dict(split.without_positive),
            "positives": {stride: list(counts) for stride, counts in split.positives.items()},
            "shards": len(split.shards),
            "bytes": size,
        }
        ignored = f", {split.ignored:,} to be ignored" if split.ignored else ""
        boxes = f"{split.boxes:,} boxes{ignored}"
        rows[name] = f"{split.rows:,} rows in {len(split.shards)} shards, {size / 1e6:,.1f} MB; {boxes}"
        rows[f"{name} positives"] = " · ".join(
            f"stride {stride}: {sum(counts):,}" for stride, counts in split.positives.items()
        )
        rows[f"{name} overwritten"] = (
            f"{split.overwritten:,} boxes at all cells, {split.partly_overwritten:,} at some; "
            f"{split.forced:,} forced to their best anchor; {split.past_list_end:,} past the end of a box list"
        )
        rows[f"{name} not assigned"] = collisions_text(split.without_positive, split.boxes, manifest.collisions)
        for at_size, labels in split.smaller.items():
            rows[f"{name} at {at_size} px"] = smaller_text(labels)
            report[name].setdefault("smaller", {})[at_size] = asdict(labels)
    per_box = sum(s.label_bytes for s in manifest.splits.values()) / max(
        1, sum(s.boxes for s in manifest.splits.values())
    )
    sizes = f", {len(manifest.input_sizes)} sizes" if manifest.smaller_sizes else ""
    rows["labels"] = f"{per_box:.1f} bytes a box (sparse{sizes})"
    also = f" (also labels for {', '.join(map(str, manifest.smaller_sizes))} px)" if manifest.smaller_sizes else ""
    title = f"precompute: {manifest.input_size} px{also}, {manifest.format}, {manifest.encoding}"
    return CommandResult(title, rows, report, "yolopipe train   (or first: yolopipe inspect-labels)")


def _pixel_counts(built: Sequence[BuiltShard]) -> dict[str, int]:
    reused = sum(shard.reused for shard in built)
    return {"reused": reused, "encoded": sum(s.info.rows for s in built if s.info is not None) - reused}


def _with_pixels(result: CommandResult, built: Sequence[BuiltShard]) -> CommandResult:
    """The result with the counts of the side cache, which are never written to a file."""
    counts = _pixel_counts(built)
    reasons = sorted({shard.cache_trouble for shard in built} - {""})
    unkept = f"; not all cached: {', '.join(reasons)}" if reasons else ""
    rows = {**result.rows, "pixels": f"{counts['reused']:,} reused, {counts['encoded']:,} encoded{unkept}"}
    return replace(result, rows=rows, report={**result.report, "pixels": counts})
