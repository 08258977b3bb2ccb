"""``python -m yolopipe``: what ``dvc.yaml`` calls, so that an experiment runs its own copy of the code."""

if __name__ == "__main__":
    from yolopipe.cli import (
        main,
    )  # not above: each worker process imports this module and has no use for a command line

    main()
