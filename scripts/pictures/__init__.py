"""Draws the documentation's pictures from what really happens: ``python -m scripts.pictures``.

Commands and a rollout are sent to the simulator, each step is noted as it happens, and the notes are drawn. The SVG
files are kept in ``docs/pictures``, so that building the documentation needs neither a simulator nor a drawing program;
a test draws them anew and compares.
"""
