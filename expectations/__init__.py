"""What must hold of the tables before anybody reads them.

Belongs here: suites per table, the privacy suite, the runner. Not here: when checks run
and what a failure stops (`orchestration`), or what a table means (`dbt_project`).
"""
