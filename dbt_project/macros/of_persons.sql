{#
    A feature of visitors as one of persons, as a whole model: `made` is the SQL of a
    visitor's feature over the relation `facts_of_persons`. It reads there, for a visitor, what
    all visitors of its person did, and its rows are filed under each of them. `nothing`
    are a visitor's values, by column, before it did anything; those not named are null.

    Which visitors are one person is told by what was known at the moment: those whose latest
    signed-in event has the same account (ADR 23). A visitor's time is cut into spells in
    which its person has the same visitors. To `made`, each spell is a visitor of its own,
    that learns at the spell's beginning all that its visitors did before; what it finds
    after the spell's end is dropped. So a merge or an unlink is one new row for each of
    those whom it concerns, and changes none before it.
#}
{% macro of_persons(made, nothing={}) -%}
with

{{ spells_of_persons() }},

made as (

    {{ made | indent }}

),

values_of_spells as (

    select made.* replace (coalesce(spells.visitor_id, made.visitor_id) as visitor_id),
    from made
    left join spells on made.visitor_id = spells.spell_id
    where spells.ends_at is null or made.event_timestamp < spells.ends_at

),

-- A spell whose visitors have done nothing that counts has no value of its own: without a
-- row, that of the spell before it would go on.
beginnings_with_nothing as (

    select
        spells.visitor_id,
        spells.begins_at as event_timestamp,
        spells.begins_at as created_timestamp,
        {%- for column, value in nothing.items() %}
        {{ value }} as {{ column }},
        {%- endfor %}
    from spells
    cross join {{ ref('int_features__clock') }} as clock
    anti join values_of_spells
        on
            spells.visitor_id = values_of_spells.visitor_id
            and spells.begins_at = values_of_spells.event_timestamp
    where
        not spells.is_first
        and spells.begins_at <= clock.known_up_to

)

select * from values_of_spells

union all by name

select * from beginnings_with_nothing
{%- endmacro %}

{#
    When a visitor is of which account, as CTEs that end in `accounts_of_visitors`, in
    knowledge time: from the arrival of a signed-in event on, until one of another account
    that occurred later arrives, or an operator unlinks the two. Two limits keep strangers
    apart and the cost bounded: of an account, the visitors that came to it last; of a
    visitor that many accounts take turns on, the first turns.
#}
{% macro accounts_of_visitors() -%}
unlinks as (

    select
        identifier as visitor_id,
        other_identifier as user_id,
        min(unlinked_at) as unlinked_at,
    from {{ ref('stg_identity__unlinks') }}
    where
        identifier_type = 'visitor'
        and other_identifier_type = 'user'
    group by identifier, other_identifier

),

signed_in as (

    select
        facts.visitor_id,
        facts.user_id,
        facts.received_at as known_at,
        -- A device whose clock is fast signs nobody in for the days to come.
        (least(facts.occurred_at, facts.received_at), facts.event_id) as occurred,
        unlinks.unlinked_at,
    from {{ ref('int_events__feature_facts') }} as facts
    left join unlinks
        on
            facts.visitor_id = unlinks.visitor_id
            and facts.user_id = unlinks.user_id
    where
        facts.user_id is not null
        and (
            unlinks.unlinked_at is null
            or facts.received_at < unlinks.unlinked_at
        )

),

-- Taken apart, a visitor is of no account until it signs in to another.
signed_in_or_out as (

    select
        visitor_id,
        user_id,
        known_at,
        occurred,
    from signed_in

    union all

    select distinct
        visitor_id,
        '' as user_id,
        unlinked_at as known_at,
        (unlinked_at, '') as occurred,
    from signed_in
    where unlinked_at is not null

),

accounts_known as (

    select distinct
        visitor_id,
        known_at,
        arg_max(user_id, occurred) over (
            partition by visitor_id
            order by known_at
            range between unbounded preceding and current row
        ) as user_id,
    from signed_in_or_out

),

accounts_changed as (

    select *
    from accounts_known
    qualify
        user_id is distinct from lag(user_id) over (
            partition by visitor_id order by known_at
        )

),

accounts_in_turn as (

    select
        visitor_id,
        user_id,
        known_at as begins_at,
        lead(known_at) over (partition by visitor_id order by known_at) as ends_at,
        row_number() over (partition by visitor_id order by known_at) as turn_number,
    from accounts_changed

),

accounts_of_visitors as (

    select
        visitor_id,
        user_id,
        begins_at,
        least(
            ends_at,
            lead(begins_at, {{ var('max_visitors_per_person') }}) over (
                partition by user_id order by begins_at, visitor_id
            )
        ) as ends_at,
    from accounts_in_turn
    where
        user_id != ''
        and turn_number <= {{ var('max_accounts_in_turn') }}

)
{%- endmacro %}

{#
    The CTEs `spells`, of visitors that were ever one of several, `spell_visitors`, a row
    for each that is one in a spell, and `facts_of_persons`.
#}
{% macro spells_of_persons() -%}
{%- set sql -%}
with

{{ accounts_of_visitors() }},

others as (

    select
        mine.visitor_id,
        theirs.visitor_id as other_visitor_id,
        greatest(mine.begins_at, theirs.begins_at) as begins_at,
        least(mine.ends_at, theirs.ends_at) as ends_at,
    from accounts_of_visitors as mine
    inner join accounts_of_visitors as theirs
        on
            mine.user_id = theirs.user_id
            and mine.visitor_id != theirs.visitor_id
    -- `least` and `greatest` pass over what is null: a turn that has not ended.
    where
        least(mine.ends_at, theirs.ends_at) is null
        or greatest(mine.begins_at, theirs.begins_at)
        < least(mine.ends_at, theirs.ends_at)

),

spell_beginnings as (

    select
        visitor_id,
        begins_at,
    from others

    union

    select
        visitor_id,
        ends_at as begins_at,
    from others
    where ends_at is not null

    union

    select distinct
        visitor_id,
        timestamp '0001-01-01' as begins_at,
    from others

),

spells as (

    select
        visitor_id,
        visitor_id || ' ' || row_number() over visitor_in_order as spell_id,
        begins_at,
        lead(begins_at) over visitor_in_order as ends_at,
        row_number() over visitor_in_order = 1 as is_first,
    from spell_beginnings
    window visitor_in_order as (partition by visitor_id order by begins_at)

)

select
    spells.*,
    others.other_visitor_id as member_id,
from spells
inner join others
    on
        spells.visitor_id = others.visitor_id
        and spells.begins_at >= others.begins_at
        and (others.ends_at is null or spells.begins_at < others.ends_at)

union all

select
    *,
    visitor_id as member_id,
from spells
{%- endset -%}
spell_visitors as (

    {{ made_once(sql) | indent }}

),

spells as (

    select * exclude (member_id)
    from spell_visitors
    where member_id = visitor_id

),

facts_of_persons as (

    select facts.*
    from {{ ref('int_events__feature_facts') }} as facts
    where facts.visitor_id not in (select visitor_id from spells)

    union all

    select
        facts.* replace (
            spell_visitors.spell_id as visitor_id,
            greatest(facts.received_at, spell_visitors.begins_at) as received_at
        ),
    from spell_visitors
    inner join {{ ref('int_events__feature_facts') }} as facts
        on spell_visitors.member_id = facts.visitor_id
    where
        spell_visitors.ends_at is null
        or facts.received_at < spell_visitors.ends_at

)
{%- endmacro %}
