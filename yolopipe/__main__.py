"""The command ``yolopipe``, and ``python -m yolopipe``, with which an experiment of DVC runs its own code.

Each worker process imports this module but not the command line, so the import is inside the function.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; Ctrl-C while it is imported is handled here, later by its own guard."""
    try:
        from yolopipe.cli import main as guarded_main
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted before anything was done\n")
        sys.exit(130)
    guarded_main()


if __name__ == "__main__":
    main()
