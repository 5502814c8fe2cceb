{#
    `relation` in the shape of the event contract: every column of the contract with its
    type, null where the relation has none, and where each row came from. What every
    staging model of events ends with, suppressed people left out.

    format: what `nearline ingest --format` calls the files.
#}
{% macro as_events(relation, format) -%}
    select
        conformed.*,
        '{{ format }}' as source_format,
    from (
        select
            {% for name, type in dict(event_columns(), **provenance_columns()).items() -%}
            cast({{ name }} as {{ type }}) as {{ name }},
            {% endfor %}
        from (
            select
                {% for name, type in dict(event_columns(), **provenance_columns()).items() -%}
                cast(null as {{ type }}) as {{ name }},
                {% endfor %}
            where false

            union all by name

            select *
            from {{ relation }}
        )
    ) as conformed
    where {{ is_not_suppressed('conformed') }}
{%- endmacro %}
