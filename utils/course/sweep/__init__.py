"""The published runs, or your own rows, over seeds, in one table; on RSICD with the published scores beside.

``python -m utils.course.sweep`` is what ``make sweep`` calls. The published rows stand in ``nbs/profiles/sweep``, your
own in a file of yours, see `rows`. Like the runner of the course, this never imports JAX: the kernels do.
"""
