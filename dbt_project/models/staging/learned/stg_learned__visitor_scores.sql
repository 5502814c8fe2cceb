with

scored as (

    select *
    from {{ landed_rows(
        source('learned', 'visitor_scores'),
        'models/visitor_scores/visitor_scores.parquet',
        {
            'visitor_id': 'varchar',
            'scored_at': 'timestamp',
            'known_up_to': 'timestamp',
            'probability': 'double',
            'model_version': 'bigint',
        }
    ) }}

),

suppressed_keys as (

    select * from {{ ref('stg_privacy__suppressed_keys') }}

),

final as (

    select *
    from scored
    where
        not exists (
            select 1
            from suppressed_keys
            where
                suppressed_keys.key_type = 'visitor'
                and suppressed_keys.key_value = scored.visitor_id
        )

)

select * from final
