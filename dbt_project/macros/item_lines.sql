{#
    Each item that an event of `facts` names, as CTEs that end in `item_lines`: `line`, as
    item_list has it, and `line_number` from 1, with these columns of the event.
#}
{% macro item_lines(facts, columns, event_names) -%}
facts_of_items as (

    select
        {{ columns | join(',\n        ') }},
        {{ item_list('facts') }} as lines,
    from {{ facts }} as facts
    where event_name in {{ string_list(event_names) }}

),

item_lines as (

    select
        * exclude (lines),
        unnest(lines) as line,
        generate_subscripts(lines, 1) as line_number,
    from facts_of_items

)
{%- endmacro %}
