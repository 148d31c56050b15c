"""Sections: the parts of a derivation's presentation, one module each; `derive.exposition` puts them in order.

Input: a Derivation. Output: drafts of steps made of boxes, which `derive.present` prints.
"""
