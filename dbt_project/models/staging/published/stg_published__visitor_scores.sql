with

{{ suppressed_visitors() }},

published as (

    select *
    from {{ landed_rows(
        source('published', 'ftr_visitor__propensity'),
        'published/ftr_visitor__propensity.parquet',
        {
            'visitor_id': 'varchar',
            'event_timestamp': 'timestamp',
            'created_timestamp': 'timestamp',
            'purchase_propensity_7d': 'double',
            'purchase_propensity_7d_model_version': 'bigint',
        }
    ) }}

),

final as (

    select *
    from published
    where visitor_id not in (select visitor_id from suppressed_visitors)

)

select * from final
