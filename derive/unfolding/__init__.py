"""Unfolding: the gradient of one entry as a sum over paths through time, from a Derivation.

`entries` reads which entry, `links` unfolds the model over a number of steps, `paths` lists the paths and makes the record,
`factors` writes a path as a product, `sections` says it in numbered steps that `derive.present` prints.
"""
