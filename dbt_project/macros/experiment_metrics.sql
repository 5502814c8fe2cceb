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
