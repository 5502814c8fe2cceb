"""How likely a visitor is to buy: within the session, within seven days.

Belongs here: labels, inputs made of features, fitting, measuring, scoring. Not here: what
a feature means (`dbt_project/`), point-in-time retrieval (`training`), versions and the
gate (`models`), when it runs (Dagster).
"""
