with

final as (

    select *
    from {{ landed_rows(
        source('published', 'fct_identity_links'),
        'published/fct_identity_links.parquet',
        {
            'identifier_type': 'varchar',
            'identifier': 'varchar',
            'other_identifier_type': 'varchar',
            'other_identifier': 'varchar',
        }
    ) }}

)

select * from final
