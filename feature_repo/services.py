"""Versioned feature services: the sets of features that an app may rely on.

Belongs here: which views a service brings together. A service that loses a feature, or
means something else by it, is a new service with the next version, so that an app moves
over when it is ready. It may gain features; an app that holds the service and refreshes
the registry itself has to look the service up again then.

Views are taken under an alias without their version: full feature names, and the
references that a running app holds, then stay the same when a view's version changes.
"""

from feast import FeatureService
from views import (
    item_activity_7d_v1,
    item_activity_24h_v1,
    visitor_activity_1h_v1,
    visitor_activity_5m_v1,
    visitor_activity_7d_v1,
    visitor_activity_24h_v1,
    visitor_activity_30d_v1,
    visitor_latest_v1,
)

visitor_features_v1 = FeatureService(
    name="visitor_features_v1",
    features=[
        visitor_activity_5m_v1.with_name("visitor_activity_5m"),
        visitor_activity_1h_v1.with_name("visitor_activity_1h"),
        visitor_activity_24h_v1.with_name("visitor_activity_24h"),
        visitor_activity_7d_v1.with_name("visitor_activity_7d"),
        visitor_activity_30d_v1.with_name("visitor_activity_30d"),
        visitor_latest_v1.with_name("visitor_latest"),
    ],
    description="What a visitor did lately, per window, and last.",
)

item_features_v1 = FeatureService(
    name="item_features_v1",
    features=[
        item_activity_24h_v1.with_name("item_activity_24h"),
        item_activity_7d_v1.with_name("item_activity_7d"),
    ],
    description="How much an item is looked at, put into carts and bought.",
)
