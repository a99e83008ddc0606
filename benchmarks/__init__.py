"""Measure what the pipeline costs, against plain alternatives in the same run: `make bench`.

One module per measurement; each states exactly what it counts. A figure that misses its goal is
printed all the same: `make bench` fails only if something could not be measured.

Imports: anything. Nothing imports benchmarks.
"""
