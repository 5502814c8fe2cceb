{#
    The persons that the rows of a table were written with, in a table beside it. Kept in
    the transaction that writes the rows (a post-hook), so the two cannot differ. An
    increment finds by it whose events have another person by now, in what identifiers
    cost and not what history does.
#}
{% macro persons_written(relation) -%}
    {{ return(relation.incorporate(
        path={'identifier': relation.identifier ~ '__persons'}
    )) }}
{%- endmacro %}

{% macro keep_persons_written(relation, persons) -%}
    create or replace table {{ persons_written(relation) }} as
    select
        identifier_type,
        identifier,
        person_id
    from {{ persons }}
{%- endmacro %}
