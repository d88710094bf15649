"""Draw the documentation's pictures from real runs: ``python -m scripts.pictures``.

Not mermaid or graphviz: a diagram drawn by hand would not change when the code does, and these pictures do.

The scripts send commands and a rollout to the simulator, note each step, and draw the notes. The SVG files are kept in
``docs/pictures``: building the documentation needs no simulator, no JavaScript and no drawing program. A test draws the
pictures again and compares.
"""
