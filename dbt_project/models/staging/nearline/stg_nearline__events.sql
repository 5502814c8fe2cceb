with

landed as (

    select *
    from {{ landed_rows(
        source('raw', 'nearline_events'),
        'raw/format=nearline/landing_id=*/events*.parquet',
        dict(event_columns(), **provenance_columns())
    ) }}

),

final as (

    select
        *,
        'nearline' as source_format,
    from landed
    where {{ is_not_suppressed('landed') }}

)

select * from final
