"""Which keys of params.yaml a stage reads, recorded while it runs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pydantic import BaseModel

from yolopipe.config.params import STAGE_PARAMS, Config


def recording(section: BaseModel, seen: set[str], prefix: str = "") -> Any:
    """A copy of a configuration that adds the dotted name of each key to ``seen`` when its value is taken."""
    kind = type(section)
    keys = {name: prefix + (field.alias or name) for name, field in kind.model_fields.items()}
    inner = {name: value for name, value in section if isinstance(value, BaseModel)}

    class Recording(kind):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> object:
            if name in keys and name not in inner:
                seen.add(keys[name])
            return super().__getattribute__(name)

        def __iter__(self) -> Any:
            seen.update(key for name, key in keys.items() if name not in inner)
            return super().__iter__()

        def model_dump(self, *, include: Any = None, exclude: Any = (), **more: Any) -> dict[str, Any]:
            seen.update(keys[name] for name in set(include or keys) - set(exclude) - set(inner))
            dumped: dict[str, Any] = super().model_dump(include=include, exclude=set(exclude), **more)
            return dumped

    below = {name: recording(value, seen, f"{keys[name]}.") for name, value in inner.items()}
    return Recording.model_construct(**{**dict(section), **below})


def undeclared(seen: set[str], stage: str) -> set[str]:
    """Those of the keys that ``STAGE_PARAMS``, and with it ``dvc.yaml``, does not list for a stage."""
    return {key for key in seen if not any(f"{key}.".startswith(f"{name}.") for name in STAGE_PARAMS[stage])}


def run_as_declared(stage: ModuleType, config: Config) -> Any:
    """The result of ``stage.run``; fails when the stage reads a key that it does not declare."""
    seen: set[str] = set()
    result = stage.run(recording(config, seen))
    name = stage.__name__.rpartition(".")[2]
    missed = sorted(undeclared(seen, name))
    assert not missed, f"{name} reads {missed}, dvc.yaml does not list them: a change of them is missed"
    assert any(key.startswith(f"{name}.") for key in seen), f"{name} was recorded"
    return result
