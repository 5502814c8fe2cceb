{#
    An event's id in 16 bytes, for finding it: an increment looks its events up among all
    of history, and comparing texts of forty characters there takes five times as long.
    Ids of any form have one; two ids with the same one are as likely as two sessions
    with the same md5.
#}
{% macro event_key(event_id) -%}
    cast(md5({{ event_id }}) as uuid)
{%- endmacro %}
