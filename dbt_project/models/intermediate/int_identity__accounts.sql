{{ config(materialized='table') }}

with

candidates as (

    select
        *,
        {{ identity_key('identifier_type', 'identifier') }} as node,
        {{ identity_key('other_identifier_type', 'other_identifier') }} as other_node,
    from {{ ref('int_identity__candidates') }}

),

-- First seen in any evidence, refused or not, so that a cap or an operator does not
-- change which account names a person.
accounts as (

    select
        identifier_type,
        identifier,
        node,
        min(first_seen_at) as first_seen_at,
        arg_min(link_source, (first_seen_at, link_event_id)) as first_source,
        arg_min(link_event_id, (first_seen_at, link_event_id)) as first_event_id,
    from (
        select
            other_identifier_type as identifier_type,
            other_identifier as identifier,
            other_node as node,
            first_seen_at,
            link_source,
            link_event_id,
        from candidates

        union all by name

        select
            identifier_type,
            identifier,
            node,
            first_seen_at,
            link_source,
            link_event_id,
        from candidates
        where identifier_type != 'visitor'
    ) as ends
    group by identifier_type, identifier, node

),

links as (

    select
        node as a,
        other_node as b,
        link_reason,
    from candidates
    where
        identifier_type != 'visitor'
        and refused_reason is null

),

aliases as (

    select
        a,
        b,
    from links
    where link_reason = 'alias'

),

joined_by_links as (

    {{ connected_components('links') }}

),

joined_by_aliases as (

    {{ connected_components('aliases') }}

),

accounts_joined as (

    select
        accounts.*,
        coalesce(joined_by_links.least_node, accounts.node) as link_group,
        coalesce(joined_by_aliases.least_node, accounts.node) as alias_group,
    from accounts
    left join joined_by_links
        on accounts.node = joined_by_links.node
    left join joined_by_aliases
        on accounts.node = joined_by_aliases.node

),

visitors as (

    select
        accounts_joined.link_group,
        accounts_joined.alias_group,
        candidates.identifier as visitor_id,
    from candidates
    inner join accounts_joined
        on candidates.other_node = accounts_joined.node
    where
        candidates.identifier_type = 'visitor'
        and candidates.refused_reason is null

),

-- Identifiers that a person would have at most: with every device that may be theirs.
{% for level in ['link_group', 'alias_group'] -%}
sizes_by_{{ level }} as (

    select
        {{ level }},
        sum(identifier_count) as identifier_count,
    from (
        select
            {{ level }},
            count(*) as identifier_count,
        from accounts_joined
        group by {{ level }}

        union all

        select
            {{ level }},
            count(distinct visitor_id) as identifier_count,
        from visitors
        group by {{ level }}
    ) as parts
    group by {{ level }}

),

{% endfor -%}
-- A person too large gives up its contacts first, then its aliases.
accounts_capped as (

    select
        accounts_joined.*,
        case
            when
                sizes_by_link_group.identifier_count
                <= {{ var('max_identifiers_per_person') }}
                then accounts_joined.link_group
            when
                sizes_by_alias_group.identifier_count
                <= {{ var('max_identifiers_per_person') }}
                then accounts_joined.alias_group
            else accounts_joined.node
        end as person_group,
    from accounts_joined
    inner join sizes_by_link_group
        on accounts_joined.link_group = sizes_by_link_group.link_group
    inner join sizes_by_alias_group
        on accounts_joined.alias_group = sizes_by_alias_group.alias_group

),

-- The account first seen names the person; a contact only where there is no account.
accounts_named as (

    select
        *,
        first_value(identifier_type) over person as naming_type,
        first_value(identifier) over person as naming_identifier,
        row_number() over person = 1 as is_naming,
    from accounts_capped
    window person as (
        partition by person_group
        order by identifier_type != 'user', first_seen_at, identifier
        rows between unbounded preceding and unbounded following
    )

),

final as (

    select
        identifier_type,
        identifier,
        node,
        first_seen_at,
        first_source,
        first_event_id,
        case naming_type
            when 'user' then {{ person_key('user', 'naming_identifier') }}
            else {{ person_key('contact', 'naming_identifier') }}
        end as person_id,
        is_naming,
    from accounts_named

)

select * from final
