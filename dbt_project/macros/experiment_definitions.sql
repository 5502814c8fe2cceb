{#
    What the warehouse has to know of the experiments' definition files, which
    `nearline experiment check` judges: a list of `key`, `analysed_by`, `contaminated`,
    `starts_at`, `stops_at` and `primary_metrics` (each with `name` and from when on, null
    being ever), by key. The folder is $NEARLINE_EXPERIMENTS, else
    `experiments/` of this project. An experiment without a file is one of visitors, who
    count where they were seen first.

    Nothing while dbt only parses; a unit test overrides it.
#}
{% macro experiment_definitions() -%}
    {{ return(adapter.dispatch('experiment_definitions')()) }}
{%- endmacro %}

{% macro default__experiment_definitions() -%}
    {%- set found = [] -%}
    {%- if execute -%}
        {%- set folder = env_var('NEARLINE_EXPERIMENTS', '') or 'experiments' -%}
        {%- set files = run_query(
            "select content from read_text('" ~ folder | replace("'", "''") ~ "/*.y*ml') "
            ~ "where not regexp_matches(filename, '[/\\\\]_[^/\\\\]*$') order by filename"
        ) if run_query(
            "select 1 from glob('" ~ folder | replace("'", "''") ~ "/*.y*ml')"
        ) | length else [] -%}
        {%- for file in files -%}
            {%- set written = fromyaml(file[0]) or {} -%}
            {%- if written is mapping and written.get('key') -%}
                {%- set primary_metrics = [] -%}
                {%- for phase in [dict(written, starts_at=none)]
                    + (written.get('phases') or [])
                    if (phase.get('metrics') or {}).get('primary') -%}
                    {%- do primary_metrics.append({
                        'name': phase.metrics.primary | string,
                        'starts_at': phase.get('starts_at'),
                    }) -%}
                {%- endfor -%}
                {%- do found.append({
                    'key': written.key | string,
                    'analysed_by':
                        written.get('analysed_by') or written.get('unit') or 'visitor',
                    'contaminated': written.get('contaminated') or 'drop',
                    'starts_at': written.get('starts_at'),
                    'stops_at': written.get('stops_at'),
                    'primary_metrics': primary_metrics,
                }) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}

{# The same as a relation. #}
{% macro experiment_definition_rows() -%}
    {%- set definitions = experiment_definitions() -%}
    {%- set columns = {
        'experiment_key': 'varchar',
        'unit_kind': 'varchar',
        'contaminated': 'varchar',
        'starts_at': 'timestamp',
        'stops_at': 'timestamp',
    } -%}
    (
        select * from {{ empty_relation(columns) }}
        {%- for one in definitions %}
        union all
        select
            '{{ one.key | replace("'", "''") }}',
            '{{ one.analysed_by | replace("'", "''") }}',
            '{{ one.contaminated | replace("'", "''") }}',
            {{ _moment_in_utc(one.starts_at) }},
            {{ _moment_in_utc(one.stops_at) }}
        {%- endfor %}
    )
{%- endmacro %}

{# What each experiment is judged by, and from when on (null: ever), as a relation. #}
{% macro experiment_primary_metric_rows() -%}
    {%- set columns = {
        'experiment_key': 'varchar',
        'metric_name': 'varchar',
        'starts_at': 'timestamp',
    } -%}
    (
        select * from {{ empty_relation(columns) }}
        {%- for one in experiment_definitions() %}
        {%- for metric in one.get('primary_metrics') or [] %}
        union all
        select
            '{{ one.key | replace("'", "''") }}',
            '{{ metric.name | replace("'", "''") }}',
            {{ _moment_in_utc(metric.starts_at) }}
        {%- endfor %}
        {%- endfor %}
    )
{%- endmacro %}

{# A time with a zone is brought to UTC, one without is UTC. #}
{% macro _moment_in_utc(moment) -%}
    {%- if moment is none -%}
        cast(null as timestamp)
    {%- else -%}
        cast(cast('{{ moment }}' as timestamptz) at time zone 'UTC' as timestamp)
    {%- endif -%}
{%- endmacro %}

{#
    What a table was built for, to be held against what it would be built for now: units
    and metrics are defined in files, and no row says that a file has changed.
#}
{% macro experiment_fingerprint() -%}
    {%- set definitions = [] -%}
    {%- for one in experiment_definitions() -%}
        {#- What it is judged by is read off sums that are there for every metric. #}
        {%- do definitions.append(
            one.items() | rejectattr(0, 'equalto', 'primary_metrics') | list
        ) -%}
    {%- endfor -%}
    {{ return(local_md5(
        experiment_metrics() | string ~ experiment_sources(experiment_metrics()) | string
        ~ definitions | string ~ var('experiment_days_before')
    )) }}
{%- endmacro %}

{# Whether a table was built for the definitions of now. #}
{% macro is_built_as_defined(relation) -%}
    {%- set found = run_query(
        "select comment from duckdb_tables() where schema_name = current_schema() "
        ~ "and table_name = '" ~ relation.identifier ~ "'"
    ) if execute and relation else [] -%}
    {{ return(found | length > 0 and found[0][0] == experiment_fingerprint()) }}
{%- endmacro %}

{# Empties an incremental model that was built for other definitions. #}
{% macro forget_if_redefined(relation) -%}
    {%- if is_incremental() and not is_built_as_defined(relation) -%}
        delete from {{ relation }}
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

{% macro mark_definitions(relation) -%}
    comment on table {{ relation }} is '{{ experiment_fingerprint() }}'
{%- endmacro %}
