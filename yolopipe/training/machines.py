"""Training on several machines: ``TF_CONFIG``, a common start, the error when one is lost.

``TF_CONFIG`` names the machines and which of them this is.  All do the same steps on their rows of the same batches;
the first one, the chief, writes all files, and the others start from its weights and history.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yolopipe.errors import UsageError, YolopipeError
from yolopipe.training.epoch_plan import EpochLog, EpochPlan
from yolopipe.training.speed import Speed

if TYPE_CHECKING:
    from yolopipe.training.trainer import Trainer

__all__ = ["MachineGroup", "agreed", "chief_only", "machine_group", "report_lost_worker", "run_worker", "share_start"]

PIECE = 1 << 20
"""Numbers sent at a time: 8 MB."""

EXAMPLE = '{"cluster": {"worker": ["host1:2345", "host2:2345"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class MachineGroup:
    """The machines that train together.

    Args:
        index: of this one, from 0.
        addresses: host and port of each.
    """

    index: int
    addresses: tuple[str, ...]

    @property
    def chief(self) -> bool:
        """True for the machine that writes the results."""
        return self.index == 0


def machine_group(environment: Mapping[str, str]) -> MachineGroup | None:
    """The machines that ``TF_CONFIG`` describes; None without it, or where it names one machine alone.

    Raises:
        UsageError: it is not what TensorFlow expects.

    >>> machine_group({"TF_CONFIG": EXAMPLE})
    MachineGroup(index=0, addresses=('host1:2345', 'host2:2345'))
    >>> machine_group({}) is None
    True
    """
    text = environment.get("TF_CONFIG", "")
    if not text:
        return None
    try:
        tree = json.loads(text)
        addresses, task = tuple(str(address) for address in tree["cluster"]["worker"]), tree["task"]
        index = int(task["index"])
        known = set(tree["cluster"]) == {"worker"} and task["type"] == "worker" and 0 <= index < len(addresses)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise UsageError(
            f"TF_CONFIG: expected a list of workers and the index of this one, got {text!r}",
            hint=f"for example: TF_CONFIG='{EXAMPLE}'",
        )
    return MachineGroup(index, addresses) if len(addresses) > 1 else None


def agreed(arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """The chief's arrays, on every machine; each machine passes arrays of the same shapes and types.

    Called in the scope of the strategy, by all machines alike: it waits for them.  Numbers travel as float64, which
    holds every float32 and every whole number up to 2 to the 53rd exactly, in pieces of one size.
    """
    flat = np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in arrays])
    pieces = [flat[start : start + PIECE] for start in range(0, len(flat), PIECE)]
    exchange = _exchange()
    received = np.concatenate(
        [exchange(np.pad(piece, (0, PIECE - len(piece)))).numpy()[: len(piece)] for piece in pieces]
    )
    ends = np.cumsum([np.size(array) for array in arrays])
    parts = np.split(received, ends[:-1])
    return [part.reshape(np.shape(a)).astype(np.asarray(a).dtype) for part, a in zip(parts, arrays, strict=True)]


def _exchange() -> Any:
    """A compiled function from each machine's piece to the chief's, under the current strategy."""
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()

    def of_replica(piece: Any) -> Any:
        context = tf.distribute.get_replica_context()
        first = tf.cast(context.replica_id_in_sync_group, tf.int32) == 0
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, piece, tf.zeros_like(piece)))

    @tf.function(input_signature=[tf.TensorSpec((PIECE,), tf.float64)])  # type: ignore[untyped-decorator]
    def exchange(piece: Any) -> Any:
        return strategy.experimental_local_results(strategy.run(of_replica, args=(piece,)))[0]

    return exchange


def share_start(variables: Mapping[str, Sequence[Any]], history: Sequence[EpochLog]) -> list[EpochLog]:
    """Set all variables to the chief's values.

    Args:
        variables: by group, all that training changes.
        history: used on the chief, ignored on the others.

    Returns:
        The chief's history.
    """
    text = np.frombuffer(json.dumps([asdict(log) for log in history]).encode(), np.uint8).astype(np.int32)
    (length,) = agreed([np.array(len(text), np.int32)])
    padded = np.zeros(int(length), np.int32)
    padded[: min(len(text), int(length))] = text[: int(length)]
    every = [variable for group in variables.values() for variable in group]
    history_bytes, *values = agreed([padded, *(np.asarray(variable) for variable in every)])
    for variable, value in zip(every, values, strict=True):
        variable.assign(value)
    return [EpochLog(**log) for log in json.loads(bytes(history_bytes.astype(np.uint8)))]


def chief_only(score: Callable[[], float], group: MachineGroup | None) -> Callable[[], float]:
    """A score that the chief measures and sends to the others, so that all stop at the same epoch."""
    if group is None:
        return score

    def measured() -> float:
        (value,) = agreed([np.array(score() if group.chief else 0.0, np.float64)])
        return float(value)

    return measured


class _SilentBoard:
    """Logs nothing, since the chief does."""

    def step(self, number: int, values: Mapping[str, float]) -> None:
        """One step."""

    def epoch(self, number: int, log: EpochLog) -> None:
        """One epoch."""


def run_worker(plan: EpochPlan, trainer: Trainer, group: MachineGroup) -> tuple[list[EpochLog], Speed]:
    """Train on a machine that is not the chief: the same steps, no file written.

    Args:
        plan: the same on all machines.
        trainer: built from the same params.
        group: this machine is not its chief.

    Returns:
        The history, and the speed.

    Raises:
        YolopipeError: a loss is not finite, or another machine is lost.
    """
    from yolopipe.training.loop import fit

    history = share_start(trainer.variables, [])
    done = [len(history)]
    with report_lost_worker(group, lambda: done[0]):
        return fit(
            replace(plan, train_batches=trainer.train_step.entering(plan.train_batches)),
            trainer.train_step,
            trainer.eval_step,
            board=_SilentBoard(),
            on_epoch=lambda logs: done.append(done.pop() + 1),
            history=history,
            score=chief_only(lambda: 0.0, group) if plan.best_by == "mAP" else None,
        )


@contextmanager
def report_lost_worker(group: MachineGroup | None, epochs_done: Callable[[], int]) -> Iterator[None]:
    """Raise one YolopipeError, with how to go on, where TensorFlow reports that a machine is lost."""
    if group is None:
        yield
        return
    import tensorflow as tf

    errors = tf.errors
    try:
        yield
    except (
        errors.UnavailableError,
        errors.AbortedError,
        errors.CancelledError,
        errors.DeadlineExceededError,
    ) as error:
        others = ", ".join(address for index, address in enumerate(group.addresses) if index != group.index)
        first = str(error).partition("\n")[0] or type(error).__name__
        done = epochs_done()
        raise YolopipeError(
            f"another machine of TF_CONFIG ({others}) was lost or does not answer ({type(error).__name__}: {first})",
            hint=f"run the same command on every machine: training goes on after epoch {done}"
            if done
            else "run the same command on every machine; no epoch was finished yet",
        ) from None
