"""What SQL cannot do: the library under Nearline's pipeline.

Imports neither Dagster nor dbt; `orchestration` imports this package, never the other
way round. What a behavioural fact *means* does not belong here: that is dbt's.
"""
