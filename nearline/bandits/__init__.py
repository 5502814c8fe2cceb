"""Policies judged by, and learnt from, decisions that were logged with their odds.

What was decided and what came of it is SQL (`fct_decisions`); deciding itself is
`nearline.decisions`. Neither is here.
"""
