{#- Empty, with the columns of an event: see the description. -#}
with

final as (

    select
        {% for name, type in event_columns().items() -%}
        cast(null as {{ type }}) as {{ name }},
        {% endfor %}
    where false

)

select * from final
