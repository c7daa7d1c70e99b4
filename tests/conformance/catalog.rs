//! Catalog suite: what the trait promises, one function for each behaviour, over any implementation.
//!
//! A catalog is accepted when it adds its own module to [`every_catalog`] and passes the whole list. What only the
//! embedded one can show (its file, other processes) is in [`sqlite`], and what the shared one does in [`postgres`].

#![expect(clippy::unwrap_used, reason = "these are tests, in functions that are not marked as such")]

mod buckets;
mod gateways;
mod identities;
mod listing;
mod objects;
mod outbox;
mod policies;
mod postgres;
mod samples;
mod sqlite;
mod uploads;

/// Runs each behaviour on a fresh catalog of each kind.
macro_rules! every_catalog {
    ($($module:ident: $($behaviour:ident)*;)*) => {
        mod on_sqlite {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let directory = tempfile::tempdir().unwrap();
                    let catalog = crate::conformance::catalog::sqlite::open(&directory);
                    crate::conformance::catalog::$module::$behaviour(&catalog).await;
                })*
            })*
        }
        mod on_postgres {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let Some(catalog) = crate::conformance::catalog::postgres::open(stringify!($behaviour)).await else {
                        return;
                    };
                    crate::conformance::catalog::$module::$behaviour(&catalog).await;
                })*
            })*
        }
    };
}

every_catalog! {
    objects:
        an_object_reads_back_as_written
        an_insert_needs_no_row
        an_update_needs_the_version_it_was_checked_against
        a_delete_needs_the_version_it_was_checked_against
        a_change_of_nothing_asserts_absence
        all_changes_of_a_commit_or_none
        changes_of_one_key_follow_each_other
        a_commit_into_a_bucket_that_is_gone_is_refused
        one_of_many_racing_creates_wins
        one_of_racing_neighbours_wins
        one_of_many_racing_updates_wins_each_round
        a_conflict_leaves_its_neighbours_alone
        the_row_is_pointed_at_its_places
        numbers_up_to_63_bits_are_kept_and_larger_ones_refused
        usage_counts_and_sums
        no_scoped_method_acts_under_a_role;
    listing:
        keys_come_in_the_order_of_their_bytes
        pages_equal_a_sorted_set
        hostile_prefixes_are_only_text
        positions_and_limits
        buckets_do_not_mix
        a_glance_shows_what_is_directly_below
        glances_equal_a_folded_set;
    outbox:
        steps_are_numbered_and_kept_until_done
        bytes_stay_with_their_step_until_it_is_done
        steps_of_one_key_come_oldest_first
        numbers_are_never_used_again
        named_versions_are_found_wherever_they_are
        a_version_that_was_given_up_cannot_be_named;
    uploads:
        an_upload_reads_back_as_written
        uploads_come_by_key_age_and_id
        markers_go_on_where_a_page_ended
        a_part_replaces_the_one_before
        parts_come_by_number
        parts_need_an_open_upload
        the_length_of_an_upload_is_said_once
        an_abort_frees_the_attempts
        one_of_abort_and_complete_wins
        a_commit_ends_only_a_completing_upload
        a_commit_that_fails_leaves_the_upload_completing
        tidying_reopens_and_forgets;
    buckets:
        a_bucket_reads_back_as_written
        a_name_is_taken_once
        settings_and_the_walk_are_kept
        buckets_come_by_name
        a_bucket_with_objects_stays
        a_bucket_goes_with_all_that_hangs_on_it
        a_number_is_never_used_again;
    identities:
        users_are_kept_and_replaced
        keys_belong_to_users
        a_user_goes_with_its_keys_and_its_buckets_pass_to_root
        passwords_go_with_their_users
        tokens_that_were_given_back_are_known_until_they_end
        the_generation_moves_with_identities_and_buckets;
}
