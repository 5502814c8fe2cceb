"""A fashion shop of a dozen items and a handful of visits, all of it literal.

Jackets are viewed with scarves and gloves, shoes with socks; one kettle stands apart.
"""

import pyarrow as pa

from nearline.recommend.catalogue import SCHEMA, Catalogue, catalogue_of
from nearline.recommend.learning import Behaviour

DAY = 86_400.0
START = 1_790_000_000.0

ITEMS = [
    ("jacket-red", "Jackets", "Bryndal", 12_000, "Wool jacket red"),
    ("jacket-blue", "Jackets", "Bryndal", 12_500, "Wool jacket blue"),
    ("jacket-green", "Jackets", "Calmare", 11_000, "Wool jacket green"),
    ("jacket-rain", "Jackets", "Calmare", 30_000, "Rain shell"),
    ("scarf-red", "Scarves", "Bryndal", 3_000, "Wool scarf red"),
    ("scarf-plain", "Scarves", "Dovetail", 2_000, "Cotton scarf"),
    ("gloves", "Gloves", "Bryndal", 4_000, "Wool gloves"),
    ("shoe-run", "Shoes", "Emberly", 9_000, "Runner"),
    ("shoe-walk", "Shoes", "Emberly", 9_500, "Walker"),
    ("socks", "Socks", "Emberly", 900, "Running socks"),
    ("kettle", "Kitchen", "Hollowell", 5_000, "Kettle"),
    ("mystery", None, None, None, None),
]

VISITS = [
    ["jacket-red", "scarf-red", "gloves"],
    ["jacket-red", "jacket-blue", "scarf-red"],
    ["jacket-blue", "gloves"],
    ["jacket-green", "jacket-red", "scarf-plain"],
    ["shoe-run", "socks"],
    ["shoe-walk", "socks", "shoe-run"],
    ["kettle"],
    ["jacket-blue", "jacket-red", "scarf-red"],
]


def fashion_catalogue() -> Catalogue:
    rows = [dict(zip(SCHEMA.names, (*item, START), strict=True)) for item in ITEMS]
    return catalogue_of(pa.Table.from_pylist(rows, SCHEMA))


def fashion_behaviour() -> Behaviour:
    """Each visit another person's, an hour after the one before; views a minute apart.

    The visits with shoes came by e-mail.
    """
    from nearline.recommend.warehouse import behaviour_of

    rows = [
        {
            "person_id": f"p_{number}",
            "session_id": f"s_{number}",
            "item_id": item,
            "seconds": START + number * 3600 + place * 60,
            "channel": "email" if "socks" in visit else "direct",
        }
        for number, visit in enumerate(VISITS)
        for place, item in enumerate(visit)
    ]
    return behaviour_of(pa.Table.from_pylist(rows), fashion_catalogue())
