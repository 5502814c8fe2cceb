"""Segments handed to other systems: who may be, to a file or to a webhook.

Who is in a segment is dbt's to say, and what somebody consented to as well.
"""
