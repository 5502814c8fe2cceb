{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    on_schema_change='fail',
    unique_key='page_view_id',
    pre_hook=[
        "{{ forget_if_rebuilt(this, ref('fct_events')) }}",
        "{{ delete_rows_of_changed_events(this, 'page_view_id') }}",
    ],
    post_hook="{{ mark_generation(this) }}",
) }}

with

events_in_changed_sessions as (

    {{ in_changed_sessions(ref('fct_events'), this) }}

),

-- Dwell and scroll belong to the page view that they name, else to the one before them.
events_placed as (

    select
        *,
        last_value(
            case when is_page_view then event_id end ignore nulls
        ) over (
            partition by session_id
            order by session_event_number
            rows between unbounded preceding and current row
        ) as page_view_before,
        first_value(
            case when is_page_view then event_id end ignore nulls
        ) over (
            partition by session_id, page_view_id
            order by session_event_number
            rows between unbounded preceding and unbounded following
        ) as page_view_named,
    from events_in_changed_sessions

),

reading as (

    select
        case
            when is_page_view then event_id
            when page_view_id is not null
                then coalesce(page_view_named, page_view_before)
            else page_view_before
        end as page_view_id,
        sum(engaged_milliseconds) as engaged_milliseconds,
        max(scroll_rate) as deepest_scroll_rate,
    from events_placed
    where
        is_page_view
        or engaged_milliseconds is not null
        or scroll_rate is not null
    group by 1

),

page_views as (

    select
        *,
        row_number() over (
            partition by session_id order by session_event_number
        ) as page_view_number,
        row_number() over (
            partition by session_id order by session_event_number desc
        ) as page_view_number_from_end,
    from events_in_changed_sessions
    where is_page_view

),

final as (

    select
        page_views.event_id as page_view_id,
        page_views.page_view_id as source_page_view_id,
        page_views.session_id,
        page_views.visitor_id,
        page_views.person_id,
        page_views.source,
        page_views.event_date as page_view_date,
        page_views.occurred_at as viewed_at,
        page_views.page_path,
        page_views.page_title,
        page_views.page_type,
        page_views.item_id,
        coalesce(reading.engaged_milliseconds, 0) / 1000.0 as engaged_seconds,
        reading.deepest_scroll_rate,
        page_views.page_view_number = 1 as is_landing,
        page_views.page_view_number_from_end = 1 as is_exit,
        page_views.is_bot,
        page_views.change_seq,
    from page_views
    left join reading
        on page_views.event_id = reading.page_view_id

)

select * from final
