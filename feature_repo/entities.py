"""Who and what an app may look features up for.

Belongs here: the keys. What is known about a key is in `views.py`, what an app asks for
in `services.py`.
"""

from dbt_models import JOIN_KEYS
from feast import Entity, ValueType

visitor = Entity(
    name="visitor",
    join_keys=[JOIN_KEYS["visitor"]],
    value_type=ValueType.STRING,
    description="One browser or device, by its pseudonym.",
)

person = Entity(
    name="person",
    join_keys=[JOIN_KEYS["person"]],
    value_type=ValueType.STRING,
    description="The person that a browser or device is, by that one's pseudonym.",
)

item = Entity(
    name="item",
    join_keys=[JOIN_KEYS["item"]],
    value_type=ValueType.STRING,
    description="One item of the catalogue, by the shop's own id.",
)
