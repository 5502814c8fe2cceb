with

final as (

    select *
    from {{ landed_rows(
        source('identity', 'unlinks'),
        'identity/unlinks.parquet',
        {
            'identifier_type': 'varchar',
            'identifier': 'varchar',
            'other_identifier_type': 'varchar',
            'other_identifier': 'varchar',
            'reason': 'varchar',
            'unlinked_at': 'timestamp',
        }
    ) }}

)

select * from final
