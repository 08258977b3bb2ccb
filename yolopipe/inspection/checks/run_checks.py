"""All checks of a data set, from its shards and what lies beside them."""

from __future__ import annotations

from pathlib import Path

from yolopipe import console
from yolopipe.inspection.checks.box_checks import box_checks, loss_checks
from yolopipe.inspection.checks.check_report import Check, CheckReport
from yolopipe.inspection.checks.dataset import Dataset, gather
from yolopipe.inspection.checks.fingerprints import Fingerprints, fingerprint_images
from yolopipe.inspection.checks.image_checks import PIXEL_RULES, image_checks, unreadable_check
from yolopipe.inspection.checks.origins import Sources, read_sources
from yolopipe.inspection.checks.rules import RULES
from yolopipe.inspection.checks.set_checks import anchor_checks, class_checks, fits, split_facts
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.workers.pool import Workers

__all__ = ["run_checks"]


def run_checks(
    shards: str | Path, *, workers: Workers = 1, params: str | Path | None = None, manifest: Manifest | None = None
) -> CheckReport:
    """Check a data set.

    Boxes come from copy 0 of the shards, pixels from the source images, annotation lines and what parse dropped from
    ``data/parsed``.  What is not there is named in ``left_out``, and the rules that need it are not in ``checks``.

    Args:
        shards: the folder of shards; where it is ``data/shards`` of a project, the rest is looked for there, else
            here.
        workers: processes that read source images; they change nothing but the time.
        params: the params file, for the names of the annotation files; by default that of the project.
        manifest: of the shards, where it has been read already.

    Returns:
        Every rule that could be applied.

    Raises:
        ShardError: shards missing or damaged, or labels that are not what the rule gives.
    """
    folder = Path(shards)
    manifest = manifest or load_manifest(folder)
    sources = read_sources(folder, manifest, None if params is None else Path(params))
    rows = sum(shard.rows for split in manifest.splits.values() for shard in split.of_copy(0))
    with console.progress("check labels", rows) as advance:
        data = gather(folder, manifest, sources.lines, sources.files, advance)
    left_out = list(sources.missing)
    prints = _fingerprints(data, sources, workers, left_out)
    checks = _box_and_class_checks(data, sources)
    facts = split_facts(data)
    now, proposal = fits(data, left_out)
    checks += [*class_checks(data, facts), *anchor_checks(data, now, proposal)]
    if prints is not None:
        checks += image_checks(data, prints, left_out)
    if prints is not None or sources.losses is not None:
        losses = sources.losses["unreadable"] if sources.losses is not None else None
        checks.append(unreadable_check(data, prints, losses, sources.images_read))
    order = list(RULES)
    checks.sort(key=lambda check: order.index(check.rule))
    return CheckReport(tuple(checks), manifest.class_names, facts, now, proposal, tuple(left_out))


def _box_and_class_checks(data: Dataset, sources: Sources) -> list[Check]:
    checks = list(box_checks(data))
    if sources.losses is not None:
        checks += loss_checks(sources.losses, sources.boxes_read, sources.images_read)
    return checks


def _fingerprints(data: Dataset, sources: Sources, workers: Workers, left_out: list[str]) -> Fingerprints | None:
    """Fingerprints of the source images; None where none of them is there (the shards were copied elsewhere)."""
    here = any((sources.folder / path).is_file() for path in data.paths[:1000])
    if data.paths and not here:
        rules = ", ".join((*PIXEL_RULES, "unreadable"))
        left_out.append(f"{rules}: the source images are not here ({sources.folder / data.paths[0]}, ...)")
        return None
    with console.progress("check images", len(data.paths)) as advance:
        return fingerprint_images(data.paths, sources.folder, workers=workers, advance=advance)
