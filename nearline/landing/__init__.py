"""From files (and later the event log) to raw Parquet: checked, pseudonymized, once.

What a source's columns *mean* does not belong here: raw Parquet keeps the source's own
shape, and dbt's staging models map it to the contract.
"""
