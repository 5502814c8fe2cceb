{#
    Rows of feature table `model` that served rows may have been, a row per feature, in
    the form in which the log of served values has them:
    `served_id, row_at, feature, value_text, value_number`.

    Of a served moment these are the rows of that very second, since a store may keep no
    more than seconds, and where there is none, the newest row before it. Where the store
    had nothing, it is the newest row that it should have had.

    `served` is a relation of `served_id, view_table, entity_id, event_timestamp,
    known_up_to, known_from`.
#}
{% macro values_as_logged(model, relation, served) -%}
    {{ return(adapter.dispatch('values_as_logged')(model, relation, served)) }}
{%- endmacro %}

{% macro default__values_as_logged(model, relation, served) -%}
    {%- set columns = described_columns(model) -%}
    {%- set key = 'item_id' if 'item_id' in columns else 'visitor_id' -%}
    {%- set clock = [key, 'event_timestamp', 'created_timestamp'] -%}
    select
        served_id,
        row_at,
        unnest(feature_values, recursive := true)
    from (
        select
            served.served_id,
            feature_rows.event_timestamp as row_at,
            [
                {% for column, type in columns.items() if column not in clock -%}
                {
                    'feature': '{{ column }}',
                    'value_text': {{ logged_text('feature_rows.' ~ column, type) }},
                    'value_number': {{ logged_number('feature_rows.' ~ column, type) }}
                }{{ ',' if not loop.last }}
                {% endfor %}
            ] as feature_values,
        from {{ served }} as served
        inner join {{ relation }} as feature_rows
            on
                served.entity_id = feature_rows.{{ key }}
                and (
                    feature_rows.event_timestamp
                    < date_trunc('second', served.event_timestamp)
                    + interval '1 second'
                    or (
                        served.event_timestamp is null
                        and feature_rows.event_timestamp <= served.known_up_to
                        and (
                            served.known_from is null
                            or feature_rows.event_timestamp >= served.known_from
                        )
                    )
                )
        where
            served.view_table = '{{ model }}'
        qualify
            feature_rows.event_timestamp >= date_trunc('second', served.event_timestamp)
            or row_number() over (
                partition by served.served_id
                order by feature_rows.event_timestamp desc
            ) = 1
    )
{%- endmacro %}
