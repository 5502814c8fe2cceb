{#
    Person behind an event: the account's where somebody is signed in, else the device's,
    else one of its own. The relations are aliases in the query; `visitors` and `users`
    are joined by their ids.
#}
{% macro person_of_event(events, visitors, users) -%}
    case
        when {{ events }}.user_id is not null then {{ users }}.person_id
        else coalesce(
            {{ visitors }}.person_id,
            {{ person_key('visitor', events ~ '.visitor_id') }}
        )
    end
{%- endmacro %}
