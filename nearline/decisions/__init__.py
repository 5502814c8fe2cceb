"""Decides what a page shows: policies, the personalization API, a record of each decision.

Belongs here: policies as code (`policy_files`), the chain that chooses (`deciding`), the
HTTP service and its client, and the event that each decision leaves. Not here: how lists
are made (`nearline.recommend`), scores (`nearline.propensity`), what fires by itself
(`nearline.triggers`), or learning from what came of it (`nearline.bandits`).
"""
