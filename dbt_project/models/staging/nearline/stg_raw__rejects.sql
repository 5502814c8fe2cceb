with

landed as (

    select *
    from {{ landed_rows(
        source('raw', 'rejects'),
        'raw/format=*/landing_id=*/rejects*.parquet',
        dict({
            'deadletter_id': 'varchar',
            'received_at': 'timestamp',
            'source_format': 'varchar',
            'source': 'varchar',
            'schema_version': 'varchar',
            'event_name': 'varchar',
            'field': 'varchar',
            'reason': 'varchar',
        }, **provenance_columns())
    ) }}

),

identified as (

    select
        * exclude (deadletter_id),
        -- What came in a file is told by its landing and row.
        coalesce(deadletter_id, landing_id || '-' || source_row) as deadletter_id,
    from landed

),

final as (

    select *
    from identified
    -- The collector appends a batch again when it has no answer from the log.
    qualify row_number() over (
        partition by deadletter_id
        order by landing_id, source_file, source_row
    ) = 1

)

select * from final
