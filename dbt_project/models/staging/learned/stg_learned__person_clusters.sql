with

final as (

    select *
    from {{ landed_rows(
        source('learned', 'person_clusters'),
        'models/person_clusters/history.parquet',
        {'person_id': 'varchar', 'segment': 'varchar', 'known_at': 'timestamp'}
    ) }}

)

select * from final
