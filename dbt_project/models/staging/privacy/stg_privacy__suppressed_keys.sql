with

final as (

    select *
    from {{ landed_rows(
        source('privacy', 'suppressed_keys'),
        'privacy/suppression.parquet',
        {
            'key_type': 'varchar',
            'key_value': 'varchar',
            'reason': 'varchar',
            'suppressed_at': 'timestamp',
        }
    ) }}

)

select * from final
