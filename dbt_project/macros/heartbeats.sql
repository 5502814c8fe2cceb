{#
    Sources that measure engagement by heartbeats: `engagement: heartbeat` in the var
    `sources`. A page is pinged after `min_visit_seconds` and from then on every
    `heartbeat_seconds` in which it was in use
    (https://docs.snowplow.io/docs/events/ootb-data/page-activity-tracking/).

    The arithmetic is that of Snowplow's own dbt packages (snowplow_unified_pv_engaged_time
    and snowplow_unified_sessions_this_run in github.com/snowplow/dbt-snowplow-unified): a
    page view was engaged for min_visit_seconds, and heartbeat_seconds more for each
    further bucket of the device's clock in which it was pinged, so that doubled pings
    count once. A session has as many page views as its views and pings name, and begins
    min_visit_seconds before a ping that is its first event.

    Both are given to single events, in the order of their arrival: the first ping of a
    page view earns min_visit_seconds, the first of each further bucket
    heartbeat_seconds, any other nothing. The sum is the same, and what a ping earned is
    not changed by one that arrives later: see ADR 0014.
#}

{# A heartbeat: dwell of which the event itself does not say how long. #}
{% macro is_page_ping() -%}
    coalesce(
        event_name = 'user_engagement'
        and engaged_seconds is null
        and source in {{ sources_with('engagement', 'heartbeat') }},
        false
    )
{%- endmacro %}

{# Number of the bucket of the device's own clock, which paces the pings, that it is in. #}
{% macro heartbeat_bucket() -%}
    (
        epoch_ms(occurred_at)
        + coalesce(cast(round(clock_skew_seconds * 1000) as bigint), 0)
    ) // (1000 * {{ source_setting('heartbeat_seconds', var('heartbeat_seconds')) }})
{%- endmacro %}

{# How long before its first ping a page was opened at the latest. #}
{% macro min_visit_seconds() -%}
    {{ source_setting('min_visit_seconds', var('min_visit_seconds')) }}
{%- endmacro %}
