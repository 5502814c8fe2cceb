{#
    Marketing channel of a landing, in the words of GA4's default channel group
    (https://support.google.com/analytics/answer/9756891), cut to what the contract has.
#}
{% macro channel(utm_source, utm_medium, referrer_host) -%}
    case
        when lower({{ utm_medium }}) in ('email', 'e-mail', 'newsletter') then 'email'
        when lower({{ utm_medium }}) in ('affiliate', 'affiliates') then 'affiliates'
        when
            lower({{ utm_medium }}) in ('cpc', 'ppc', 'paid', 'paid_search', 'paidsearch')
            and {{ is_social(utm_source) }}
            then 'paid_social'
        when lower({{ utm_medium }}) in ('cpc', 'ppc', 'paid', 'paid_search', 'paidsearch')
            then 'paid_search'
        when lower({{ utm_medium }}) in ('paid_social', 'paidsocial') then 'paid_social'
        when lower({{ utm_medium }}) in ('display', 'banner', 'cpm') then 'display'
        when lower({{ utm_medium }}) in ('social', 'social-network', 'sm')
            then 'organic_social'
        when lower({{ utm_medium }}) = 'organic' then 'organic_search'
        when {{ utm_medium }} is not null or {{ utm_source }} is not null then 'other'
        when {{ referrer_host }} is null then 'direct'
        when regexp_matches(
            {{ referrer_host }}, '(^|[.])(google|bing|duckduckgo|yahoo|ecosia)[.]'
        ) then 'organic_search'
        when {{ is_social(referrer_host) }} then 'organic_social'
        else 'referral'
    end
{%- endmacro %}

{% macro is_social(column) -%}
    coalesce(
        regexp_matches(
            lower({{ column }}),
            '(^|[.])(facebook|instagram|tiktok|pinterest|linkedin|reddit|youtube)([.]|$)'
        ),
        false
    )
{%- endmacro %}
