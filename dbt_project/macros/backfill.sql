{#
    A backfill reads the events again that occurred on some days: `dbt build --vars
    '{backfill_from: 2026-03-01, backfill_to: 2026-03-07, backfill_source: shop_web}'`.
    Days are UTC, both ends included; without a source, those of every source.
    `nearline run --from D1 --to D2 [--source S]` sets the vars.
#}
{% macro is_backfill() -%}
    {%- set days = [var('backfill_from', none), var('backfill_to', none)] -%}
    {%- if days == [none, none] -%}
        {%- if var('backfill_source', none) is not none -%}
            {{ exceptions.raise_compiler_error(
                'var backfill_source needs the vars backfill_from and backfill_to'
            ) }}
        {%- endif -%}
        {{ return(false) }}
    {%- endif -%}
    {%- for day in days -%}
        {%- if not modules.re.fullmatch('\d{4}-\d{2}-\d{2}', day | string) -%}
            {{ exceptions.raise_compiler_error(
                'vars backfill_from and backfill_to are days such as 2026-03-01, not '
                ~ day
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{%- endmacro %}

{# Whether a row of events occurred in what the backfill reads again. #}
{% macro is_in_backfill() -%}
    (
        occurred_at >= timestamp '{{ var("backfill_from") }}'
        and occurred_at < timestamp '{{ var("backfill_to") }}' + interval '1 day'
        {%- if var('backfill_source', none) is not none %}
        and source = '{{ var("backfill_source") | replace("'", "''") }}'
        {%- endif %}
    )
{%- endmacro %}
