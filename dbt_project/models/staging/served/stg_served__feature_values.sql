with

landed as (

    select *
    from {{ landed_rows(
        source('served', 'feature_values'),
        'served/landed/*.parquet',
        {
            'served_id': 'varchar',
            'served_at': 'timestamp',
            'service': 'varchar',
            'view': 'varchar',
            'view_table': 'varchar',
            'entity_key': 'varchar',
            'entity_id': 'varchar',
            'event_timestamp': 'timestamp',
            'known_up_to': 'timestamp',
            'known_from': 'timestamp',
            'feature': 'varchar',
            'value_text': 'varchar',
            'value_number': 'double',
        }
    ) }}

),

suppressed_keys as (

    select * from {{ ref('stg_privacy__suppressed_keys') }}

),

final as (

    select
        served_id,
        served_at,
        service,
        view as view_name,
        view_table,
        entity_key,
        entity_id,
        event_timestamp,
        known_up_to,
        known_from,
        feature,
        value_text,
        value_number,
    from landed
    where
        not exists (
            select 1
            from suppressed_keys
            where
                suppressed_keys.key_type || '_id' = landed.entity_key
                and suppressed_keys.key_value = landed.entity_id
        )

)

select * from final
