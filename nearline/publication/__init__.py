"""Releases: what readers see, written aside, checked, and put in place in one step.

Nobody but dbt opens the warehouse; everybody else reads `published/`. What a table
holds is decided in dbt; which tables are published is decided here.
"""
