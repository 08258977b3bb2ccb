"""The command ``yolopipe``, and ``python -m yolopipe``: with it, in dvc.yaml, an experiment runs its own code.

Each worker process imports this module, too, and has no use for a command line: nothing is imported above.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the half second that importing it takes is all that its own guard cannot guard."""
    try:
        from yolopipe.cli import main as guarded_main
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted before anything was done\n")
        sys.exit(130)
    guarded_main()


if __name__ == "__main__":
    main()
