"""Persons, the identities that make them up, and their segments."""

from expectations.checks import (
    Suite,
    holds,
    key,
    no_rows,
    not_negative,
    not_null,
    one_of,
    refers_to,
    unique_together,
)

PERSON_SUITES = (
    Suite(
        "dim_persons",
        (
            *key("person_id"),
            not_null("first_seen_at"),
            holds(
                "first_seen_at_is_not_after_last_seen_at",
                "first_seen_at is not after last_seen_at",
                "first_seen_at <= last_seen_at",
                column="first_seen_at",
            ),
            *not_negative(
                "visitor_count", "session_count", "order_count", "revenue_cents"
            ),
        ),
    ),
    Suite(
        "bridge_identities",
        (
            not_null("identifier"),
            not_null("person_id"),
            not_null("linked_at"),
            not_null("link_reason"),
            one_of("identifier_type", ("visitor", "user", "contact")),
            unique_together("identifier_type", "identifier"),
            holds(
                "own_leads_to_no_other",
                "an identifier leads to another exactly where its reason is not own",
                "(link_reason = 'own') = (linked_to is null)",
                column="linked_to",
            ),
        ),
    ),
    Suite(
        "fct_identity_links",
        (
            not_null("identifier"),
            not_null("other_identifier"),
            not_null("is_held"),
            one_of("identifier_type", ("visitor", "contact", "user")),
            one_of("other_identifier_type", ("user", "contact")),
            one_of("link_reason", ("identify", "signed_in_event", "alias", "contact")),
            one_of(
                "refused_reason",
                (
                    "guest_on_device",
                    "shared_device",
                    "shared_account",
                    "too_many_visitors",
                    "shared_contact",
                    "too_many_contacts",
                    "person_too_large",
                    "unlinked",
                ),
            ),
            unique_together(
                "identifier_type",
                "identifier",
                "other_identifier_type",
                "other_identifier",
            ),
            holds(
                "a_link_is_held_or_refused",
                "a link is held exactly where no reason refuses it",
                "is_held = (refused_reason is null)",
                column="refused_reason",
            ),
            no_rows(
                "held_links_are_inside_a_person",
                "a link that holds joins two of one person",
                """
                select 1 as offence
                from {batch} as links
                left join bridge_identities as one
                    on links.identifier_type = one.identifier_type
                    and links.identifier = one.identifier
                left join bridge_identities as other
                    on links.other_identifier_type = other.identifier_type
                    and links.other_identifier = other.identifier
                where links.is_held
                    and one.person_id is distinct from other.person_id
                """,
                column="is_held",
            ),
        ),
    ),
    Suite(
        "dim_consents",
        (
            not_null("visitor_id"),
            not_null("is_stated"),
            not_null("has_analytics_consent"),
            not_null("has_personalization_consent"),
            not_null("has_marketing_consent"),
            unique_together("visitor_id"),
            not_null("person_id"),
        ),
    ),
    Suite(
        "fct_segments",
        (
            not_null("person_id"),
            not_null("segment"),
            not_null("valid_from"),
            one_of("segment_kind", ("rule", "cluster", "hybrid")),
            unique_together("person_id", "segment", "valid_from"),
            refers_to("person_id", "dim_persons"),
            holds(
                "valid_to_is_after_valid_from",
                "valid_to is after valid_from, or open",
                "valid_to is null or valid_to > valid_from",
                column="valid_to",
            ),
            holds(
                "is_current_means_open",
                "is_current is true exactly while valid_to is open",
                "is_current = (valid_to is null)",
                column="is_current",
            ),
            holds(
                "only_rule_segments_are_primary",
                "what is primary is a rule segment",
                "not is_primary or segment_kind = 'rule'",
                column="is_primary",
            ),
            no_rows(
                "one_cluster_and_one_hybrid_a_person",
                "a person is at most in one cluster and in one hybrid now",
                """
                select 1 as offence from {batch}
                where is_current and segment_kind in ('cluster', 'hybrid')
                group by person_id, segment_kind having count(*) > 1
                """,
                column="segment",
            ),
            no_rows(
                "one_primary_segment_a_person",
                "a person has at most one current primary rule segment",
                """
                select 1 as offence from {batch}
                where is_current and is_primary and segment_kind = 'rule'
                group by person_id having count(*) > 1
                """,
                column="is_primary",
            ),
        ),
    ),
)
