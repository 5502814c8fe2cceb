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

{# Consent for `purpose` as of the event: what the event states, else what is assumed. #}
{% macro has_consent(purpose) -%}
    coalesce(
        consent_{{ purpose }},
        coalesce(source in {{ sources_with('assumed_consent', purpose) }}, false)
    )
{%- endmacro %}
