"""Versioned feature services: the sets of features that an app may rely on.

Belongs here: which views a service brings together, as the models name it under
`services` in their YAML. A service that loses a feature, or means something else by it,
is a new service with the next version, so that an app moves over when it is ready. It
may gain features; an app that holds the service and refreshes the registry itself has
to look the service up again then.

Views are taken under an alias without their version, the highest one that names the
service: full feature names, and the references that a running app holds, then stay the
same when a view's version changes.
"""

import views
from dbt_models import service_models
from feast import FeatureService

globals().update(
    {
        name: FeatureService(
            name=name,
            features=[
                getattr(views, model.registered_name).with_name(model.name)
                for model in models
            ],
            description=f"{', '.join(model.name for model in models)}.",
        )
        for name, models in service_models(views.MODELS).items()
    }
)
