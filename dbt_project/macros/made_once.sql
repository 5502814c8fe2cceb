{#
    SQL that several feature models have word for word, as a relation of its own: it reads
    facts, clock and unlinks alone, and no CTE around it. `nearline live` makes it once for
    all views of a micro-batch; to everybody else the marks are comments.
#}
{% macro made_once(sql) -%}
/* made once */
{{ sql }}
    /* up to here */
{%- endmacro %}
