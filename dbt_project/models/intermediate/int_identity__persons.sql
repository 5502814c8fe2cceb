{{ config(materialized='table') }}

with

accounts as (

    select * from {{ ref('int_identity__accounts') }}

),

links as (

    select
        *,
        {{ identity_key('identifier_type', 'identifier') }} as node,
        {{ identity_key('other_identifier_type', 'other_identifier') }} as other_node,
    from {{ ref('int_identity__links') }}

),

account_links as (

    select
        node as a,
        other_node as b,
    from links
    where
        identifier_type != 'visitor'
        and is_held

),

naming_accounts as (

    select node
    from accounts
    where
        is_naming
        and node in (
            select a from account_links
            union all
            select b from account_links
        )

),

steps as (

    {{ steps_from('naming_accounts', 'account_links') }}

),

-- From each account the first link on a shortest way to the one that names the person.
account_links_both_ways as (

    select
        node,
        other_identifier_type as linked_to_type,
        other_identifier as linked_to,
        other_node as linked_to_node,
        first_seen_at,
        link_reason,
        link_source,
        link_event_id,
    from links
    where
        identifier_type != 'visitor'
        and is_held

    union all by name

    select
        other_node as node,
        identifier_type as linked_to_type,
        identifier as linked_to,
        node as linked_to_node,
        first_seen_at,
        link_reason,
        link_source,
        link_event_id,
    from links
    where
        identifier_type != 'visitor'
        and is_held

),

account_ways as (

    select account_links_both_ways.*
    from account_links_both_ways
    inner join steps
        on account_links_both_ways.linked_to_node = steps.node
    where account_links_both_ways.node not in (select node from naming_accounts)
    qualify row_number() over (
        partition by account_links_both_ways.node
        order by
            steps.steps,
            account_links_both_ways.first_seen_at,
            account_links_both_ways.link_event_id,
            account_links_both_ways.linked_to_node
    ) = 1

),

accounts_linked as (

    select
        accounts.identifier_type,
        accounts.identifier,
        accounts.person_id,
        coalesce(account_ways.first_seen_at, accounts.first_seen_at) as linked_at,
        coalesce(account_ways.link_reason, 'own') as link_reason,
        coalesce(account_ways.link_source, accounts.first_source) as link_source,
        coalesce(account_ways.link_event_id, accounts.first_event_id)
            as link_event_id,
        account_ways.linked_to_type,
        account_ways.linked_to,
    from accounts
    left join account_ways
        on accounts.node = account_ways.node

),

-- A device whose every link is refused is a person of its own.
visitors_linked as (

    select
        links.identifier_type,
        links.identifier,
        case
            when links.is_held then accounts.person_id
            else {{ person_key('visitor', 'links.identifier') }}
        end as person_id,
        links.first_seen_at as linked_at,
        case when links.is_held then links.link_reason else 'own' end as link_reason,
        links.link_source,
        links.link_event_id,
        case when links.is_held then links.other_identifier_type end
            as linked_to_type,
        case when links.is_held then links.other_identifier end as linked_to,
    from links
    inner join accounts
        on links.other_node = accounts.node
    where links.identifier_type = 'visitor'
    qualify row_number() over (
        partition by links.identifier
        order by
            not links.is_held,
            links.first_seen_at,
            links.link_event_id,
            links.other_node
    ) = 1

),

final as (

    select * from accounts_linked
    union all by name
    select * from visitors_linked

)

select * from final
