"""When things run: Dagster's assets, checks, job and schedule.

An asset here is a few lines that call the library and report; what the library does
and what a table means do not belong here.
"""
