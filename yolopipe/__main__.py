"""``python -m yolopipe``: what ``dvc.yaml`` calls, so that an experiment runs its own copy of the code."""

from yolopipe.cli import main

if __name__ == "__main__":
    main()
