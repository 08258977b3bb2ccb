"""``yolopipe init``, ``check`` and ``anchors``: the files of a project, their checks, and its anchors."""
