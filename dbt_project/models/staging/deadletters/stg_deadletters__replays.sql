with

final as (

    select *
    from {{ landed_rows(
        source('deadletters', 'replays'),
        'deadletters/replays.parquet',
        {
            'deadletter_id': 'varchar',
            'event_id': 'varchar',
            'replayed_at': 'timestamp',
        }
    ) }}

)

select * from final
