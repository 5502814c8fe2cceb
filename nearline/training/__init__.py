"""Training sets: what was known of somebody at a moment, beside what came of it.

Belongs here: labels, and Feast's historical retrieval over one release. Not here: what
a feature means (`dbt_project/`), or how a model is fitted.
"""
