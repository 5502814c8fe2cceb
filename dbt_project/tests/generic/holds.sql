{# Fails for every row of which `expression` is not true: an identity of the model. #}
{% test holds(model, expression) %}

select 1 as broken_row
from {{ model }}
where not coalesce({{ expression }}, false)

{% endtest %}
