"""The five stages and the sample: they read inputs, call the other packages and write outputs.

Each module has ``run(config, *, workers) -> CommandResult``; module, command, stage of ``dvc.yaml`` and section of
``params.yaml`` have the same name.
"""
