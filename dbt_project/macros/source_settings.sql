{# Sources whose setting `key` holds `value`, as a SQL list for `in`. #}
{% macro sources_with(key, value) -%}
    {%- set names = [] -%}
    {%- for name, settings in var('sources').items() -%}
        {%- set found = settings.get(key, []) -%}
        {%- if found == value or (found is not string and value in found) -%}
            {%- do names.append("'" ~ name ~ "'") -%}
        {%- endif -%}
    {%- endfor -%}
    ({{ names | join(', ') if names else 'null' }})
{%- endmacro %}

{# Whether the event says nothing at all about consent. #}
{% macro is_consent_unstated() -%}
    coalesce(consent_analytics, consent_personalization, consent_marketing) is null
{%- endmacro %}

{#
    Consent for `purpose` as of the event: what the event states. Where it states nothing
    at all, what the source's setting assumes; one that states some purposes and not this
    one did ask, and got no consent to it.
#}
{% macro has_consent(purpose) -%}
    coalesce(
        consent_{{ purpose }},
        {{ is_consent_unstated() }}
        and source in {{ sources_with('assumed_consent', purpose) }},
        false
    )
{%- endmacro %}
