with

final as (

    select *
    from {{ landed_rows(
        source('raw', 'rejects'),
        'raw/format=*/landing_id=*/rejects.parquet',
        dict({
            'source_format': 'varchar',
            'event_name': 'varchar',
            'field': 'varchar',
            'reason': 'varchar',
        }, **provenance_columns())
    ) }}

)

select * from final
