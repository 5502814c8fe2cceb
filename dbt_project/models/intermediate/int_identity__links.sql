{{ config(materialized='table') }}

with

candidates as (

    select * from {{ ref('int_identity__candidates') }}

),

accounts as (

    select * from {{ ref('int_identity__accounts') }}

),

evidence as (

    select * from {{ ref('int_identity__evidence') }}

),

account_links as (

    select
        candidates.*,
        case
            when accounts.person_id != other_accounts.person_id
                then 'person_too_large'
        end as persons_refusal,
    from candidates
    inner join accounts
        on
            candidates.identifier_type = accounts.identifier_type
            and candidates.identifier = accounts.identifier
    inner join accounts as other_accounts
        on
            candidates.other_identifier_type = other_accounts.identifier_type
            and candidates.other_identifier = other_accounts.identifier

),

visitor_links as (

    select
        candidates.*,
        accounts.person_id,
        -- An address typed in proves less than a login: it decides only where nobody
        -- signed in.
        candidates.other_identifier_type = 'user'
        or not bool_or(candidates.other_identifier_type = 'user') over visitor
            as is_competing,
    from candidates
    inner join accounts
        on
            candidates.other_identifier_type = accounts.identifier_type
            and candidates.other_identifier = accounts.identifier
    where
        candidates.identifier_type = 'visitor'
        -- No evidence at all. A link over a cap is some: of somebody else on it.
        and coalesce(
            candidates.refused_reason not in ('unlinked', 'shared_contact'), true
        )
    window visitor as (partition by candidates.identifier)

),

persons_on_devices as (

    select
        visitor_links.identifier,
        visitor_links.person_id,
        count(distinct evidence.evidence_date) as day_count,
        min(evidence.first_seen_at) as first_seen_at,
    from visitor_links
    inner join evidence
        on
            evidence.identifier_type = 'visitor'
            and visitor_links.identifier = evidence.identifier
            and visitor_links.other_identifier_type = evidence.other_identifier_type
            and visitor_links.other_identifier = evidence.other_identifier
    where visitor_links.is_competing
    group by visitor_links.identifier, visitor_links.person_id

),

owners as (

    select
        identifier,
        person_id,
    from persons_on_devices
    qualify
        row_number() over (
            partition by identifier
            order by day_count desc, first_seen_at asc, person_id asc
        ) = 1
        and day_count >= {{ var('shared_device_dominance') }}
        * sum(day_count) over (partition by identifier)

),

visitor_links_judged as (

    select
        visitor_links.*,
        case
            when owners.person_id is null then 'shared_device'
            when owners.person_id != visitor_links.person_id then 'guest_on_device'
        end as persons_refusal,
    from visitor_links
    left join owners
        on visitor_links.identifier = owners.identifier

),

judged as (

    select * from account_links

    union all by name

    select * from visitor_links_judged

    union all by name

    select *
    from candidates
    where
        identifier_type = 'visitor'
        and refused_reason in ('unlinked', 'shared_contact')

),

final as (

    select
        identifier_type,
        identifier,
        other_identifier_type,
        other_identifier,
        first_seen_at,
        last_seen_at,
        day_count,
        event_count,
        link_reason,
        link_source,
        link_event_id,
        coalesce(refused_reason, persons_refusal) is null as is_held,
        coalesce(refused_reason, persons_refusal) as refused_reason,
    from judged

)

select * from final
