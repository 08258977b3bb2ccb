"""DVCLive log of a run: curves during training, for DVC's extension, Studio and ``dvc plots show``.

Its files are not outputs: DVC deletes those before a stage, and DVCLive would rewrite ``dvc.yaml`` to list them.
The stage's own metrics and curves are written after each epoch too, and are what ``dvc exp show`` reads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolopipe import console
from yolopipe.training.epoch_plan import EpochLog

__all__ = ["LiveLog"]


class LiveLog:
    """Logs a run to DVCLive if DVC runs the stage; does nothing otherwise.

    Outside DVC, DVCLive would first turn the folder into a DVC repository.

    Args:
        directory: a folder of its own for the run; what was there before is replaced.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._live: Any = None
        self._logged = 0
        self._wanted = "DVC_STAGE" in os.environ

    def epochs(self, history: Sequence[EpochLog]) -> None:
        """Log the epochs that were not logged yet: those of an earlier run first, then each as it ends.

        An error ends the log and not the run: the log changes no result, and Studio may be out of reach.
        """
        if not self._wanted:
            return
        try:
            self._log(history)
        except Exception as error:  # of DVC, git, the disk or the network: training goes on without the log
            self._wanted = False
            console.note(f"warning: DVCLive does not log this run: {error or type(error).__name__}")

    def _log(self, history: Sequence[EpochLog]) -> None:
        if self._live is None:
            from dvclive import Live  # half a second

            self._live = Live(
                str(self.directory), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False
            )
        for log in history[self._logged :]:
            self._live.step = log.epoch
            self._live.log_metric("lr", log.lr)
            for split, losses in (("train", log.train), ("val", log.val)):
                for name, value in losses.items():
                    self._live.log_metric(f"{split}/{name}", value)
            self._live.make_summary()
        self._logged = len(history)
