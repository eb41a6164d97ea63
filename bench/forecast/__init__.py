"""What a grid will take, foretold from a few short runs of it, and later compared with what it took.

``plan`` makes the forecast, ``record`` keeps it and compares it, ``show`` says it; ``probes`` chooses what to try and
tries it, ``windows`` counts windows without running anything, ``model`` is the arithmetic. ``precision`` foretells how
surely the data of a study, grid or not, will tell a WER.
"""
