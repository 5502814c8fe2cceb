{#
    Increments of what is measured in experiments. A unit's rows by day say what it had
    come to before and at the end of each day, so that sums by day are sums of differences
    and a day is made anew from its own rows alone.
#}

{# Deletes units that are no longer exposed, or no longer taken into the analysis. #}
{% macro delete_units_no_longer_exposed(relation, exposures) -%}
    {%- if is_incremental() -%}
        delete from {{ relation }}
        where not exists (
            select 1
            from {{ exposures }} as exposures
            where
                exposures.is_analysed
                and exposures.experiment_key = {{ relation }}.experiment_key
                and exposures.unit_id = {{ relation }}.unit_id
        )
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

{#
    Deletes the days that hold other rows than `days` has now: by a row's number of change,
    and by their count, since a row that is gone has no number.
#}
{% macro delete_changed_days(relation, days) -%}
    {%- if is_incremental() -%}
        delete from {{ relation }}
        where
            metric_date in (
                select unnest(list(distinct metric_date))
                from {{ days }}
                where change_seq > {{ last_change_seq(relation) }}
            )
            or metric_date in (
                select unnest(list(metric_date)) from {{ days_that_differ(relation, days) }}
            )
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

{# A unit's rows of the days to make, each with the number of its day's rows. #}
{% macro unit_days_to_make(relation, days) -%}
    select
        *,
        count(*) over (partition by metric_date) as row_count,
    from {{ days }}
    {%- if is_incremental() %}
    where metric_date in (
        select unnest(list(metric_date)) from {{ days_that_differ(relation, days) }}
    )
    {%- endif %}
{%- endmacro %}

{# Days whose number of rows is another; after delete_changed_days, those to make. #}
{% macro days_that_differ(relation, days) -%}
    (
        select coalesce(now.metric_date, made.metric_date) as metric_date
        from (
            select
                metric_date,
                count(*) as row_count,
            from {{ days }}
            group by metric_date
        ) as now
        full join (
            select
                metric_date,
                max(row_count) as row_count,
            from {{ relation }}
            group by metric_date
        ) as made
            on now.metric_date = made.metric_date
        where now.row_count is distinct from made.row_count
    )
{%- endmacro %}
