"""The command line: options to configuration to stage to exit code.  The only package that knows Typer.

Exit codes: 0 fine, 1 a check found problems or predict could not read some of its input, 2 wrong call, 3 params.yaml,
4 input data, 5 a stage failed, 130 Ctrl-C.  (DVC itself ends with 255 whatever a stage's code was, and prints that
code.)
"""

from yolopipe.cli import stages, looking, predicting, models, data  # noqa: F401, I001  # commands are listed in this order
from yolopipe.cli.application import app
from yolopipe.cli.guard import guarded, main

__all__ = ["app", "guarded", "main"]
