{#
    The var `segments`, the thresholds put into the conditions, or an error that names
    every entry that cannot be: a misspelt one would be an empty segment and say nothing.
#}
{% macro segment_rules() -%}
    {%- set known = [
        'name', 'description', 'days', 'thresholds', 'condition', 'periods'
    ] -%}
    {%- set problems = [] -%}
    {%- set rules = [] -%}
    {%- set names = [] -%}
    {%- for entry in var('segments') -%}
        {%- set name = entry.get('name') if entry is mapping else none -%}
        {%- set place = 'entry ' ~ loop.index ~ (' (' ~ name ~ ')' if name else '') -%}
        {%- if entry is not mapping -%}
            {%- do problems.append(place ~ ' must be a mapping with name, description, '
                ~ 'days and condition') -%}
        {%- else -%}
            {%- set windowed = 'periods' not in entry -%}
            {%- set condition = entry.get('condition') -%}
            {%- for key in entry if key not in known -%}
                {%- do problems.append(
                    place ~ ': ' ~ key ~ ' is not one of ' ~ known | join(', ')
                ) -%}
            {%- endfor -%}
            {%- if
                name is not string
                or not modules.re.fullmatch('[a-z][a-z0-9_]*', name)
                or name.startswith('cluster_') or name in ['outlier', 'none']
            -%}
                {%- do problems.append(
                    place ~ ': name must be lower case letters, digits and _, and not '
                    ~ 'cluster_..., outlier or none'
                ) -%}
            {%- elif name in names -%}
                {%- do problems.append(place ~ ': name is that of another entry') -%}
            {%- endif -%}
            {%- do names.append(name) -%}
            {%- if not entry.get('description') -%}
                {%- do problems.append(place ~ ': description is missing') -%}
            {%- endif -%}
            {%- if windowed and not (entry.get('days') is integer and entry.days > 0) -%}
                {%- do problems.append(place ~ ': days must be a whole number from 1') -%}
            {%- endif -%}
            {%- if windowed and condition is not string -%}
                {%- do problems.append(place ~ ': condition must be SQL') -%}
            {%- elif not windowed and ('days' in entry or 'condition' in entry) -%}
                {%- do problems.append(
                    place ~ ': periods come from a model, without days and condition'
                ) -%}
            {%- endif -%}
            {%- set thresholds = entry.get('thresholds', {}) -%}
            {%- set filled = namespace(condition=condition or '') -%}
            {%- for threshold, value in thresholds.items() -%}
                {%- if value is not number -%}
                    {%- do problems.append(
                        place ~ ': threshold ' ~ threshold ~ ' must be a number'
                    ) -%}
                {%- elif '{' ~ threshold ~ '}' not in filled.condition -%}
                    {%- do problems.append(
                        place ~ ': threshold ' ~ threshold ~ ' is not in the condition'
                    ) -%}
                {%- endif -%}
                {%- set filled.condition = filled.condition.replace(
                    '{' ~ threshold ~ '}', value | string
                ) -%}
            {%- endfor -%}
            {%- if '{' in filled.condition -%}
                {%- do problems.append(
                    place ~ ': condition names a threshold that there is not'
                ) -%}
            {%- endif -%}
            {%- do rules.append({
                'name': name,
                'days': entry.get('days'),
                'periods': entry.get('periods'),
                'condition': filled.condition,
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error(
            'var segments: ' ~ problems | join('; ')
        ) }}
    {%- endif -%}
    {{ return(rules) }}
{%- endmacro %}
