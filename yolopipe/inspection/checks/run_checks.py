"""Every check of a data set, from its shards and the files beside them."""

from __future__ import annotations

from pathlib import Path

from yolopipe import console
from yolopipe.inspection.checks.box_checks import box_checks, dropped_checks
from yolopipe.inspection.checks.check_report import CheckReport
from yolopipe.inspection.checks.dataset import Dataset, DatasetBuilder
from yolopipe.inspection.checks.fingerprints import Fingerprints, fingerprint_images
from yolopipe.inspection.checks.image_checks import PIXEL_RULES, image_checks, unreadable_check
from yolopipe.inspection.checks.origins import Sources, read_sources
from yolopipe.inspection.checks.rules import RULES
from yolopipe.inspection.checks.set_checks import anchor_checks, anchor_fits, class_checks, split_facts
from yolopipe.workers.pool import Workers

__all__ = ["run_checks"]


def run_checks(
    builder: DatasetBuilder, shards: Path, *, params: str | Path | None = None, workers: Workers = 1
) -> CheckReport:
    """Check a data set.

    Boxes come from copy 0 of the shards, pixels from the source images, annotation lines and dropped boxes from
    ``data/parsed``.  What is missing is named in ``left_out``, and the rules that need it are not in ``checks``.

    Args:
        builder: every row of copy 0.
        shards: their folder; where it is ``data/shards`` of a project, the rest is looked for there, else here.
        params: the params file, for the names of the annotation files; by default that of the project.
        workers: processes that read source images; they do not change the result.

    Returns:
        Every rule that could be applied.
    """
    sources = read_sources(shards, builder.manifest, None if params is None else Path(params))
    data = builder.dataset(sources.lines, sources.files)
    left_out = list(sources.missing)
    prints = _fingerprints(data, sources, workers, left_out)
    facts = split_facts(data)
    now, proposal = anchor_fits(data, left_out)
    checks = [*box_checks(data), *class_checks(data, facts), *anchor_checks(data, now, proposal)]
    if sources.dropped is not None:
        checks += dropped_checks(sources.dropped, sources.boxes_read, sources.images_read)
    if prints is not None:
        checks += image_checks(data, prints, left_out)
    if prints is not None or sources.dropped is not None:
        dropped = sources.dropped["unreadable"] if sources.dropped is not None else None
        checks.append(unreadable_check(data, prints, dropped, sources.images_read))
    order = list(RULES)
    checks.sort(key=lambda check: order.index(check.rule))
    return CheckReport(tuple(checks), data.manifest.class_names, facts, now, proposal, tuple(left_out), sources.files)


def _fingerprints(data: Dataset, sources: Sources, workers: Workers, left_out: list[str]) -> Fingerprints | None:
    """Fingerprints of the source images; None when none of them exists here (the shards were copied)."""
    here = any((sources.folder / path).is_file() for path in data.paths[:1000])
    if data.paths and not here:
        rules = ", ".join((*PIXEL_RULES, "unreadable"))
        left_out.append(f"{rules}: no source image was found ({sources.folder / data.paths[0]}, ...)")
        return None
    with console.progress("check images", len(data.paths)) as advance:
        return fingerprint_images(data.paths, sources.folder, workers=workers, advance=advance)
