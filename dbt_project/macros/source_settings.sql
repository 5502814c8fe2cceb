{#
    The var `sources`, or an error that names every setting in it that cannot be: a
    misspelt one would change what a session is and say nothing.
#}
{% macro source_settings() -%}
    {%- set choices = {
        'session_rule': ['source', 'timeout', 'none'],
        'engagement': ['heartbeat'],
    } -%}
    {%- set purposes = ['analytics', 'personalization', 'marketing'] -%}
    {%- set least = {
        'heartbeat_seconds': 1,
        'min_visit_seconds': 0,
        'days_late_allowed': 0,
    } -%}
    {%- set known = choices.keys() | list + ['assumed_consent'] + least.keys() | list -%}
    {%- set problems = [] -%}
    {%- for name, settings in var('sources').items() -%}
        {%- if settings is not mapping -%}
            {%- do problems.append(name ~ ' must be a mapping of settings') -%}
        {%- endif -%}
        {%- for key, value in (settings if settings is mapping else {}).items() -%}
            {%- set setting = name ~ '.' ~ key -%}
            {%- if key in choices and value not in choices[key] -%}
                {%- do problems.append(
                    setting ~ ' must be ' ~ choices[key] | join(' or ')
                    ~ ', not ' ~ value | tojson
                ) -%}
            {%- elif key in least and not (value is integer and value >= least[key]) -%}
                {%- do problems.append(
                    setting ~ ' must be a whole number from ' ~ least[key]
                    ~ ', not ' ~ value | tojson
                ) -%}
            {%- elif
                key == 'assumed_consent'
                and (value is string or value | reject('in', purposes) | list)
            -%}
                {%- do problems.append(
                    setting ~ ' must be a list of ' ~ purposes | join(', ')
                    ~ ', not ' ~ value | tojson
                ) -%}
            {%- elif key not in known -%}
                {%- do problems.append(
                    setting ~ ' is not one of ' ~ known | join(', ')
                ) -%}
            {%- elif
                key in ['heartbeat_seconds', 'min_visit_seconds']
                and settings.get('engagement') != 'heartbeat'
            -%}
                {%- do problems.append(setting ~ ' needs engagement: heartbeat') -%}
            {%- elif key == 'engagement' and settings.get('session_rule') == 'none' -%}
                {%- do problems.append(
                    setting ~ ' is of sessions, and session_rule is none'
                ) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error(
            'var sources: ' ~ problems | join('; ')
        ) }}
    {%- endif -%}
    {{ return(var('sources')) }}
{%- endmacro %}

{# Sources whose setting `key` holds `value`, as a SQL list for `in`. #}
{% macro sources_with(key, value) -%}
    {%- set names = [] -%}
    {%- for name, settings in source_settings().items() -%}
        {%- set found = settings.get(key, []) -%}
        {%- if found == value or (found is not string and value in found) -%}
            {%- do names.append("'" ~ name ~ "'") -%}
        {%- endif -%}
    {%- endfor -%}
    ({{ names | join(', ') if names else 'null' }})
{%- endmacro %}

{#
    Whether the event is of a source whose events say nothing of a visit, such as a CRM's
    snapshots: they are in the facts and in no session.
#}
{% macro is_sessionless() -%}
    coalesce(source in {{ sources_with('session_rule', 'none') }}, false)
{%- endmacro %}

{#
    The number that the source in `column` has as its setting `key`, as a SQL expression;
    `default`, which may be null, for sources without it.
#}
{% macro source_setting(key, default, column='source') -%}
    {%- set cases = [] -%}
    {%- for name, settings in source_settings().items() if key in settings -%}
        {%- do cases.append("when '" ~ name ~ "' then " ~ settings[key]) -%}
    {%- endfor -%}
    {%- if cases -%}
        (case {{ column }} {{ cases | join(' ') }} else {{ default }} end)
    {%- else -%}
        {{ default }}
    {%- endif -%}
{%- endmacro %}

{# Whether the event says nothing at all about consent. #}
{% macro is_consent_unstated() -%}
    coalesce(consent_analytics, consent_personalization, consent_marketing) is null
{%- endmacro %}

{#
    Consent for `purpose` as of the event: what the event states. Where it states nothing
    at all, what the source's setting assumes; one that states some purposes and not this
    one did ask, and got no consent to it.
#}
{% macro has_consent(purpose) -%}
    coalesce(
        consent_{{ purpose }},
        {{ is_consent_unstated() }}
        and source in {{ sources_with('assumed_consent', purpose) }},
        false
    )
{%- endmacro %}
