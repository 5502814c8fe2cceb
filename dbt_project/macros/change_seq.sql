{#
    Incremental models find their work from state, not from the clock: each row carries
    the number of the change that wrote it, and a model takes the rows upstream with a
    higher number than its own highest. A run that dies between two models is made good
    by the next one. Numbers go on over a rebuild, so that a model whose upstream was
    rebuilt without it can tell (see forget_if_rebuilt).
#}
{% macro last_change_seq(relation) -%}
    {#- A unit test has no table, a first build not yet. -#}
    {%- if execute and relation and load_relation(relation) -%}
        {#- Not max(): with rows deleted, DuckDB reads the whole column for that. -#}
        {%- set found = run_query(
            'select change_seq from ' ~ relation ~ ' order by change_seq desc limit 1'
        ) -%}
        {{ return(found[0][0] if found | length else 0) }}
    {%- endif -%}
    {{ return(0) }}
{%- endmacro %}

{#
    The number of the next change to events. Above the facts' highest, too: those take a
    number of their own where persons change without an event. Read by name and not by
    reference, since the facts are built from what is numbered here.
#}
{% macro next_change_seq(relation) -%}
    {%- if not relation -%}
        {{ return(1) }}
    {%- endif -%}
    {%- set facts = relation.incorporate(path={'identifier': 'fct_events'}) -%}
    {{ return([last_change_seq(relation), last_change_seq(facts)] | max + 1) }}
{%- endmacro %}
