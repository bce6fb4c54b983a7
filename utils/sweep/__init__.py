"""The published runs, run again over seeds, with their scores beside the published ones.

``python -m utils.sweep`` is what ``make sweep`` calls. The rows stand in ``nbs/profiles/sweep``. Like the runner of
the course, this never imports JAX: the kernels do, and on a TPU only one process may.
"""
