{#
    The CTEs that end in `suppressed_visitors` (of `visitor_id`): whose published values may
    rest on what a suppressed visitor, account or contact did. By the release before this
    run, which is the last to know them: the visitors of the same person, and those on which
    that identifier was seen.
#}
{% macro suppressed_visitors() -%}
suppressed_keys as (

    select * from {{ ref('stg_privacy__suppressed_keys') }}

),

identities_before as (

    select * from {{ ref('stg_published__identities') }}

),

links_before as (

    select * from {{ ref('stg_published__identity_links') }}

),

suppressed_persons as (

    select identities_before.person_id
    from identities_before
    inner join suppressed_keys
        on
            identities_before.identifier_type = suppressed_keys.key_type
            and identities_before.identifier = suppressed_keys.key_value

),

suppressed_visitors as (

    select identifier as visitor_id
    from identities_before
    where
        identifier_type = 'visitor'
        and person_id in (select person_id from suppressed_persons)

    union

    select links_before.identifier as visitor_id
    from links_before
    inner join suppressed_keys
        on
            links_before.other_identifier_type = suppressed_keys.key_type
            and links_before.other_identifier = suppressed_keys.key_value
    where links_before.identifier_type = 'visitor'

    union

    select key_value as visitor_id
    from suppressed_keys
    where key_type = 'visitor'

)
{%- endmacro %}
