"""Pseudonyms and the suppression list. What consent permits is decided in dbt's SQL."""
