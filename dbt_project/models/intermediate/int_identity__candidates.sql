{{ config(materialized='table') }}

with

evidence as (

    select * from {{ ref('int_identity__evidence') }}

),

unlinks as (

    select * from {{ ref('stg_identity__unlinks') }}

),

pairs as (

    select
        identifier_type,
        identifier,
        other_identifier_type,
        other_identifier,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        count(*) as day_count,
        cast(sum(event_count) as bigint) as event_count,
        arg_min(link_reason, first_seen) as link_reason,
        arg_min(link_source, first_seen) as link_source,
        arg_min(link_event_id, first_seen) as link_event_id,
        bool_and(is_of_snapshots) as is_of_snapshots,
    from (
        select
            *,
            (first_seen_at, link_event_id) as first_seen,
        from evidence
    ) as evidence_by_day
    group by identifier_type, identifier, other_identifier_type, other_identifier

),

-- What an operator took apart counts for nothing, as if it had never been seen.
pairs_standing as (

    select pairs.*
    from pairs
    where not exists (
        select 1
        from unlinks
        where
            unlinks.identifier_type = pairs.identifier_type
            and unlinks.identifier = pairs.identifier
            and unlinks.other_identifier_type = pairs.other_identifier_type
            and unlinks.other_identifier = pairs.other_identifier
    )

),

-- An address of many accounts is a shop's or a team's, not a person's.
shared_contacts as (

    select identifier as contact_id
    from pairs_standing
    where
        identifier_type = 'contact'
        and other_identifier_type = 'user'
    group by identifier
    having count(*) > {{ var('max_users_per_contact') }}

    union

    -- What a CRM says of so many records is a word that stands for no address.
    select other_identifier as contact_id
    from pairs_standing
    where
        identifier_type = 'visitor'
        and other_identifier_type = 'contact'
        and is_of_snapshots
    group by other_identifier
    having count(*) > {{ var('max_records_per_contact') }}

),

users_of_many_contacts as (

    select other_identifier as user_id
    from pairs_standing
    where
        identifier_type = 'contact'
        and identifier not in (select contact_id from shared_contacts)
    group by other_identifier
    having count(*) > {{ var('max_contacts_per_user') }}

),

visitors_numbered as (

    select
        identifier,
        other_identifier_type,
        other_identifier,
        row_number() over (
            partition by other_identifier_type, other_identifier
            order by first_seen_at, identifier
        ) as visitor_number,
    from pairs_standing
    where identifier_type = 'visitor'

),

visitors_of_a_day as (

    select
        evidence.other_identifier_type,
        evidence.other_identifier,
        evidence.evidence_date,
        count(*) as visitor_count,
    from evidence
    inner join visitors_numbered
        on
            evidence.identifier = visitors_numbered.identifier
            and evidence.other_identifier_type
            = visitors_numbered.other_identifier_type
            and evidence.other_identifier = visitors_numbered.other_identifier
    where evidence.identifier_type = 'visitor'
    group by
        evidence.other_identifier_type,
        evidence.other_identifier,
        evidence.evidence_date

),

-- Many devices over the years may be one person who deletes cookies; many on one day
-- are several people.
shared_accounts as (

    select
        visitors_numbered.other_identifier_type,
        visitors_numbered.other_identifier,
    from visitors_numbered
    where
        visitors_numbered.visitor_number = {{ var('max_visitors_per_user') + 1 }}
        and exists (
            select 1
            from visitors_of_a_day
            where
                visitors_of_a_day.other_identifier_type
                = visitors_numbered.other_identifier_type
                and visitors_of_a_day.other_identifier
                = visitors_numbered.other_identifier
                and visitors_of_a_day.visitor_count
                > {{ var('max_visitors_per_user_a_day') }}
        )

),

final as (

    select
        pairs.*,
        case
            when pairs_standing.identifier is null then 'unlinked'
            when shared_contacts.contact_id is not null then 'shared_contact'
            when
                pairs.identifier_type = 'contact'
                and users_of_many_contacts.user_id is not null
                then 'too_many_contacts'
            when shared_accounts.other_identifier is not null then 'shared_account'
            when
                visitors_numbered.visitor_number > {{ var('max_visitors_per_user') }}
                then 'too_many_visitors'
        end as refused_reason,
    from pairs
    left join pairs_standing
        on
            pairs.identifier_type = pairs_standing.identifier_type
            and pairs.identifier = pairs_standing.identifier
            and pairs.other_identifier_type = pairs_standing.other_identifier_type
            and pairs.other_identifier = pairs_standing.other_identifier
    left join shared_contacts
        on shared_contacts.contact_id = case
            when pairs.identifier_type = 'contact' then pairs.identifier
            when pairs.other_identifier_type = 'contact' then pairs.other_identifier
        end
    left join users_of_many_contacts
        on
            pairs.other_identifier_type = 'user'
            and pairs.other_identifier = users_of_many_contacts.user_id
    left join visitors_numbered
        on
            pairs.identifier_type = 'visitor'
            and pairs.identifier = visitors_numbered.identifier
            and pairs.other_identifier_type = visitors_numbered.other_identifier_type
            and pairs.other_identifier = visitors_numbered.other_identifier
    left join shared_accounts
        on
            pairs.identifier_type = 'visitor'
            and pairs.other_identifier_type = shared_accounts.other_identifier_type
            and pairs.other_identifier = shared_accounts.other_identifier

)

select * from final
