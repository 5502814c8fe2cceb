{# Columns of the event contract as raw Parquet holds them: name -> type. #}
{% macro event_columns() -%}
    {{ return({
        'event_id': 'varchar',
        'event_name': 'varchar',
        'schema_version': 'varchar',
        'occurred_at': 'timestamp',
        'sent_at': 'timestamp',
        'received_at': 'timestamp',
        'source': 'varchar',
        'visitor_id': 'varchar',
        'user_id': 'varchar',
        'source_session_id': 'varchar',
        'page_view_id': 'varchar',
        'page_path': 'varchar',
        'page_title': 'varchar',
        'page_type': 'varchar',
        'referrer_host': 'varchar',
        'utm_source': 'varchar',
        'utm_medium': 'varchar',
        'utm_campaign': 'varchar',
        'utm_term': 'varchar',
        'utm_content': 'varchar',
        'item_id': 'varchar',
        'item_category': 'varchar',
        'item_brand': 'varchar',
        'price_cents': 'bigint',
        'currency': 'varchar',
        'quantity': 'bigint',
        'items': 'varchar',
        'order_id': 'varchar',
        'revenue_cents': 'bigint',
        'content_type': 'varchar',
        'content_id': 'varchar',
        'search_term': 'varchar',
        'engaged_seconds': 'double',
        'scroll_rate': 'double',
        'device_class': 'varchar',
        'bot_reason': 'varchar',
        'consent_analytics': 'boolean',
        'consent_personalization': 'boolean',
        'consent_marketing': 'boolean',
        'consent_notice_version': 'varchar',
        'experiment_key': 'varchar',
        'variant_key': 'varchar',
        'properties': 'varchar',
    }) }}
{%- endmacro %}

{# Columns that say where a raw row came from. #}
{% macro provenance_columns() -%}
    {{ return({
        'source_file': 'varchar',
        'source_row': 'bigint',
        'landing_id': 'integer',
    }) }}
{%- endmacro %}
