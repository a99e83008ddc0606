"""What the pipeline costs, measured against plain alternatives in the same run: `make bench`.

One module per measurement; each says exactly what it counts. A figure that misses its goal is
printed as it is: `make bench` fails only when something could not be measured.

Imports: anything. Nothing imports benchmarks.
"""
