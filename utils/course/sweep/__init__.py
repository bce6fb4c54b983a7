"""The published runs, or your own rows, over seeds, in one table; on RSICD with the published scores beside.

The published rows stand in ``nbs/profiles/sweep``, your own in a file of yours, see `rows`. JAX is never imported here.
"""
