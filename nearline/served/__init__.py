"""What apps were served: a sample of the values that were read online, kept to compare.

Belongs here: the log that readers append to, and its landing as raw Parquet. Not here:
the comparison, which is dbt's `ops_parity`.
"""
