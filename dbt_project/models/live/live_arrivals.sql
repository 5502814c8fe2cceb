{#- Empty, with the columns of an event: see the description. -#}
{%- set columns = [] -%}
{%- for name, type in event_columns().items() -%}
    {%- do columns.append('cast(null as ' ~ type ~ ') as ' ~ name) -%}
{%- endfor -%}

with

final as (

    select
        {{ columns | join(',\n        ') }}
    where false

)

select * from final
