"""The models, one a module; `registry` has their names.

Each learns from `Interactions` and scores every item for any histories; none knows how
it is evaluated.
"""
