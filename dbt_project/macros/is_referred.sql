{#
    Whether the referrer is another site than the page, with or without its `www.`: from
    page to page of one site nobody was referred. Null where there is no referrer.
#}
{% macro is_referred(referrer_host, page_host) -%}
    regexp_replace({{ referrer_host }}, '^www[.]', '')
    <> regexp_replace(coalesce({{ page_host }}, ''), '^www[.]', '')
{%- endmacro %}
