with

{{ suppressed_visitors() }},

published as (

    select *
    from {{ landed_rows(
        source('published', 'ftr_person__segments'),
        'published/ftr_person__segments.parquet',
        {
            'visitor_id': 'varchar',
            'event_timestamp': 'timestamp',
            'created_timestamp': 'timestamp',
            'primary_segment': 'varchar',
            'primary_segment_since': 'timestamp',
            'segments': 'varchar[]',
            'behaviour_cluster': 'varchar',
            'behaviour_cluster_since': 'timestamp',
        }
    ) }}

),

final as (

    select *
    from published
    where visitor_id not in (select visitor_id from suppressed_visitors)

)

select * from final
