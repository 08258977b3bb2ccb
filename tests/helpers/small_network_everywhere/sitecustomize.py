"""With this folder on PYTHONPATH, a Python process and all it starts build the small network in place of YOLOv3.

Python imports ``sitecustomize`` when it starts; the root of the checkout must be on PYTHONPATH too.  For commands
that are started by something else, DVC say, where no code of a test comes in between.
"""

import sys
from importlib.machinery import PathFinder


class _Exchange:
    """Finds ``yolopipe.model.yolov3`` as usual, and exchanges its network once the module is loaded."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "yolopipe.model.yolov3":
            return None
        spec = PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exchanged(module):
            execute(module)
            from tests.helpers.small_network import SmallYOLO

            module.YOLOv3 = SmallYOLO

        spec.loader.exec_module = exchanged
        return spec


if __name__ == "sitecustomize":  # not where doctests are collected
    sys.meta_path.insert(0, _Exchange)
