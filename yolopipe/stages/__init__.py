"""The five stages, and the sample that feeds the demo: input, output and their order; no maths.

Each module has ``run(config, *, workers) -> CommandResult``; module, command, ``dvc.yaml`` stage and section of
``params.yaml`` carry the same name.
"""
