"""Annotation text to checked tables: lines, box rules, the ``on_bad`` policy, the summary."""
