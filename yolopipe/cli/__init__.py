"""The command line: options to configuration to command to exit code.  The only package that knows Typer.

One module for each panel of ``yolopipe --help``: project, data, pipeline, look, and models with predicting.

Exit codes: 0 success; 1 a check found problems, an exported network differs from its model, or predict could not read
some of its input; 2 wrong call; 3 params.yaml; 4 input data; 5 a command failed while it worked; 130 Ctrl-C.  (DVC
prints a stage's exit code, and itself ends with 255.)
"""

from yolopipe.cli import data, labels, look, models, pipeline, predicting, project  # noqa: F401  # they add their commands
from yolopipe.cli.application import app
from yolopipe.cli.guard import guarded, main

__all__ = ["app", "guarded", "main"]
