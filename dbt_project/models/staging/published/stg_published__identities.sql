with

final as (

    select *
    from {{ landed_rows(
        source('published', 'bridge_identities'),
        'published/bridge_identities.parquet',
        {
            'identifier_type': 'varchar',
            'identifier': 'varchar',
            'person_id': 'varchar',
        }
    ) }}

)

select * from final
