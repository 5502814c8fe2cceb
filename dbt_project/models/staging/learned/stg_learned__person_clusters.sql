with

final as (

    select *
    from {{ landed_rows(
        source('learned', 'person_clusters'),
        'models/person_clusters/person_clusters.parquet',
        {'person_id': 'varchar', 'cluster': 'integer'}
    ) }}

)

select * from final
