{#
    The metrics that experiments measure, as the YAML of `models/metrics/` has them: those
    with `meta.experiment`, by name. Each has `name`, `kind` and the numbers of its kind,
    `measure` and, of a ratio, `denominator`. `nearline.experiments.metrics` reads the same
    YAML and says what in it cannot be used.

    Nothing while dbt only parses; a unit test overrides it.
#}
{% macro experiment_metrics() -%}
    {%- set found = [] -%}
    {%- if execute and graph -%}
        {%- set simple = {} -%}
        {%- for metric in graph.metrics.values() if metric.type == 'simple' -%}
            {%- do simple.update({metric.name: metric.type_params.measure.name}) -%}
        {%- endfor -%}
        {%- for metric in graph.metrics.values() | sort(attribute='name')
            if 'experiment' in metric.config.meta -%}
            {%- set entry = dict(metric.config.meta.experiment, name=metric.name) -%}
            {%- if metric.type == 'ratio' -%}
                {%- do entry.update({
                    'measure': simple[metric.type_params.numerator.name],
                    'denominator': simple[metric.type_params.denominator.name],
                }) -%}
            {%- else -%}
                {%- do entry.update({'measure': metric.type_params.measure.name}) -%}
            {%- endif -%}
            {%- do found.append(entry) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}

{#
    The tables that `metrics` are measured on: a list of `model`, `where`, `at` and
    `measures` (name -> SQL), as the semantic models in YAML have them.
#}
{% macro experiment_sources(metrics) -%}
    {%- set wanted = [] -%}
    {%- for metric in metrics -%}
        {%- do wanted.append(metric.measure) -%}
        {%- do wanted.append(metric.get('denominator')) -%}
    {%- endfor -%}
    {%- set sources = [] -%}
    {%- if execute and graph -%}
        {%- for model in graph.semantic_models.values() | sort(attribute='name') -%}
            {%- set measures = {} -%}
            {%- for measure in model.measures if measure.name in wanted -%}
                {%- do measures.update({measure.name: measure.expr or measure.name}) -%}
            {%- endfor -%}
            {%- if measures -%}
                {%- do sources.append({
                    'model': model.node_relation.alias,
                    'where': model.config.meta.experiment.where,
                    'at': model.config.meta.experiment.at,
                    'measures': measures,
                }) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(sources) }}
{%- endmacro %}

{#
    A metric's value of a unit in thousandths, from the unit's sums in
    int_experiments__unit_days: at the end of the day, or before it where `before`.
#}
{% macro experiment_value(metric, before=false) -%}
    {%- set end = '__before' if before else '' -%}
    {%- if metric.kind == 'proportion' -%}
        1000 * cast({{ metric.measure }}{{ end }} > 0 as integer)
    {%- elif metric.kind == 'retention' -%}
        1000 * {{ metric.name }}__back{{ end }}
    {%- elif metric.kind == 'revenue' -%}
        least({{ metric.measure }}{{ end }}, {{ (metric.winsorize_at * 1000) | round | int }})
    {%- elif metric.kind == 'time_to_event' -%}
        {#- Of an hour's milliseconds, 3,600 are a thousandth. -#}
        {%- set longest = (metric.within_hours * 1000) | round | int -%}
        {%- set reached -%}
            coalesce(least({{ metric.measure }}__first{{ end }} // 3600, {{ longest }}), {{ longest }})
        {%- endset -%}
        {%- if before -%}
            case when is_first_day then 0 else {{ reached }} end
        {%- else -%}
            {{ reached }}
        {%- endif -%}
    {%- else -%}
        {{ metric.measure }}{{ end }}
    {%- endif -%}
{%- endmacro %}

{# A quantile's value, rounded to its step, in thousandths. #}
{% macro experiment_value_step(metric, before=false) -%}
    {%- set step = (metric.step * 1000) | round | int -%}
    cast(round(({{ experiment_value(metric, before) }}) / {{ step }}) as bigint) * {{ step }}
{%- endmacro %}

{#
    The columns of int_experiments__unit_days beyond a unit's own: `measures`, `timed` (of
    which the first is kept), `returns` (metrics of retention), and `of_day`, all that a
    day has of them.
#}
{% macro experiment_day_columns(metrics, sources) -%}
    {%- set measures = [] -%}
    {%- for source in sources -%}
        {%- do measures.extend(source.measures) -%}
    {%- endfor -%}
    {%- set timed = metrics | selectattr('kind', 'equalto', 'time_to_event')
        | map(attribute='measure') | unique | list -%}
    {%- set returns = metrics | selectattr('kind', 'equalto', 'retention') | list -%}
    {%- set of_day = [] -%}
    {%- for name in measures + (timed | map('string') | list) -%}
        {%- set column = name ~ '__first' if loop.index0 >= measures | length else name -%}
        {%- do of_day.extend([column, column ~ '__before']) -%}
    {%- endfor -%}
    {%- for metric in returns -%}
        {%- do of_day.extend([metric.name ~ '__back', metric.name ~ '__back__before']) -%}
    {%- endfor -%}
    {{ return({
        'measures': measures, 'timed': timed, 'returns': returns, 'of_day': of_day
    }) }}
{%- endmacro %}

{# By whose ids facts are found: visitors in any case, others where a definition says so. #}
{% macro experiment_unit_kinds() -%}
    {{ return(['visitor'] + experiment_definitions() | map(attribute='analysed_by')
        | reject('equalto', 'visitor') | unique | sort | list) }}
{%- endmacro %}

{# Whether a row of facts is of a unit in `units`. #}
{% macro is_of_units(relation, kinds) -%}
    (
        {%- for kind in kinds %}
        {{ 'or ' if not loop.first -}}
        {{ is_found_by(
            relation,
            kind ~ '_id',
            "(select unit_id as " ~ kind ~ "_id from units where unit_kind = '"
            ~ kind ~ "')",
        ) }}
        {%- endfor %}
    )
{%- endmacro %}
