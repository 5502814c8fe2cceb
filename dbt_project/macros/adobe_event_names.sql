{#
    The var `adobe_events`: which of a report suite's custom events are events of their
    own, by Adobe's name (`event12: sign_up`). An error names every entry that cannot
    be: a misspelt one would leave its events in the properties and say nothing.
#}
{% macro adobe_event_names() -%}
    {%- set names = var('adobe_events') -%}
    {%- set problems = [] -%}
    {%- for theirs, ours in names.items() -%}
        {%- if not modules.re.fullmatch('event[1-9][0-9]{0,3}', theirs) -%}
            {%- do problems.append(theirs ~ ' is not like event12') -%}
        {%- elif
            ours is not string
            or not modules.re.fullmatch('[a-z][a-z0-9_]{0,63}', ours)
        -%}
            {%- do problems.append(theirs ~ ' needs a name like sign_up') -%}
        {%- elif
            ours in [
                'alias', 'consent', 'decision', 'exposure', 'identify', 'page_view',
                'purchase', 'response', 'user_engagement',
            ]
        -%}
            {%- do problems.append(
                theirs ~ ' cannot be ' ~ ours ~ ', which promises more than a hit says'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error(
            'var adobe_events: ' ~ problems | join('; ')
        ) }}
    {%- endif -%}
    {{ return(names) }}
{%- endmacro %}
