"""Who is whom, for people who look after it: explain a person, take a link apart.

Belongs here: reading the published identities and the operator's list of unlinks. Not
here: how persons are made of links (`dbt_project/models/intermediate/int_identity__*`).
"""
