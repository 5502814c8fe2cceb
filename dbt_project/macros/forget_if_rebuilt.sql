{#
    Empties an incremental model when `upstream` was rebuilt since: a rebuild may have
    dropped events (somebody was erased) that no change number tells of. Every row of a
    rebuilt table is newer than anything its readers hold. Costs the least number of one
    integer column.
#}
{% macro forget_if_rebuilt(relation, upstream) -%}
    {%- if is_incremental() -%}
        delete from {{ relation }}
        where {{ last_change_seq(relation) }} < (
            select coalesce(min(change_seq), {{ last_change_seq(relation) }} + 1)
            from {{ upstream }}
        )
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}
