"""Where each way around the gate, each trap and each scenario of the settings pages is tried.

The ids are those of the project's requirements: E for hostile profiles, tests and credentials, T for traps
of the form, B for what is tried in a browser (some of it over HTTP is enough). An id without a test fails,
and so does a name that is none any more.
"""

import re
from pathlib import Path

TESTS = Path(__file__).parent

PLACES = {
    "E1": ["test_a_kept_password_goes_to_no_other_destination_by_any_button"],
    "E2": ["test_a_kept_password_is_tested_at_no_other_destination"],
    "E3": [
        "test_each_bound_field_alone_keeps_it_shut",
        "test_every_destination_field_is_part_of_the_associated_data",
    ],
    "E4": [
        "test_a_copy_of_a_live_row_is_not_live",
        "test_a_duplicate_is_a_draft_without_secret_ticks_and_clearance",
    ],
    "E5": ["test_a_fixture_that_brings_a_ciphertext_is_refused"],
    "E6": ["test_a_changed_row_behind_the_gate_does_not_send_and_is_named_on_the_first_page"],
    "E7": [
        "test_a_flipped_bit_anywhere_keeps_it_shut",
        "test_a_cut_one_stays_shut",
        "test_swapped_ciphertexts_do_not_open",
    ],
    "E8": ["test_an_old_ciphertext_put_back_is_not_live"],
    "E9": ["test_a_typed_mask_is_tested_as_a_password"],
    "E10": ["test_a_password_reaches_the_server_exactly_as_typed"],
    "E11": ["test_passed_evidence_does_not_open_what_was_altered_before_save"],
    "E12": [
        "test_the_evidence_of_another_profile_does_not_count",
        "test_another_persons_test_does_not_count",
    ],
    "E13": ["test_saving_without_a_test_is_refused_and_the_entries_stay"],
    "E14": ["test_of_two_windows_the_second_to_save_is_told"],
    "E15": [
        "test_who_may_not_change_starts_no_test_of_what_is_typed",
        "test_an_inactive_user_starts_nothing",
    ],
    "E16": ["test_only_a_post_with_the_token_of_the_page_starts_and_stops"],
    "E17": ["test_a_post_of_those_who_may_not_is_refused_and_changes_nothing"],
    "E18": [
        "test_no_list_edits_in_place_and_no_form_has_others_in_it",
        "test_a_forged_edit_in_the_list_changes_nothing",
    ],
    "E19": ["test_a_posted_column_that_is_no_field_is_ignored"],
    "E20": ["test_no_address_of_a_list_asks_about_a_secret"],
    "E21": ["test_a_test_connects_to_no_address_of_this_installation"],
    "E22": ["test_every_spelling_of_loopback_is_judged_by_what_it_resolves_to"],
    "E23": ["test_a_name_that_changes_its_address_between_check_and_connect_reaches_nothing"],
    "E24": ["test_a_test_is_no_port_scanner", "test_every_start_is_an_event_with_the_address_it_came_from"],
    "E25": ["test_what_is_no_host_is_refused_where_it_was_typed"],
    "E26": ["test_a_test_email_has_a_fixed_body_and_goes_where_one_may_send"],
    "E27": ["test_a_test_recipient_is_one_strict_address"],
    "E28": ["test_a_foreign_run_is_read_by_those_who_may_see_its_page"],
    "E29": ["test_a_refused_sign_in_is_not_tried_a_fourth_time"],
    "E30": [
        "test_a_poll_ends_a_run_whose_process_is_gone",
        "test_the_run_of_a_killed_worker_is_ended_by_the_page_that_waits",
    ],
    "E31": [
        "test_a_person_connects_with_pkce",
        "test_a_forged_answer_changes_nothing",
        "test_an_answer_is_taken_once_and_by_the_session_that_asked",
        "test_another_account_is_not_taken",
        "test_what_cannot_be_meant_is_a_sentence_where_it_stands",
    ],
    "E32": [
        "test_a_token_url_inside_the_house_or_in_clear_is_refused",
        "test_http_is_not_opened_by_the_guard_alone",
        "test_a_redirect_is_not_followed",
    ],
    "E33": [
        "test_what_may_pass_is_told_from_a_refusal",
        "test_a_lifetime_is_believed_within_reason",
        "test_a_strange_lifetime_is_no_token_for_ever",
    ],
    "E34": [
        "test_twenty_threads_with_an_expired_token_make_one_post",
        "test_two_processes_with_an_expired_token_make_one_post",
    ],
    "E35": [
        "test_the_old_refresh_token_stays_when_the_new_one_cannot_be_written",
        "test_a_rotated_refresh_token_is_kept_before_its_access_token_is_given_out",
    ],
    "T1": ["test_no_forged_button_goes_round_the_gate"],
    "T2": ["test_every_address_opens_for_those_who_may"],
    "T3": ["test_enter_presses_save_and_never_a_test", "test_enter_in_a_field_neither_tests_nor_saves"],
    "T4": ["test_after_back_the_entries_are_looked_at_again"],
    "T5": ["test_the_password_just_tested_is_saved_though_the_field_comes_back_empty"],
    "T6": ["test_a_passed_test_lets_the_same_settings_be_saved_and_live"],
    "T7": ["test_no_page_has_anything_inline_and_every_page_has_one_heading"],
    "T8": ["test_the_theme_comes_after_all_of_the_stock_styles"],
    "T11": ["test_no_bulk_action_reaches_profiles"],
    "T12": ["test_the_save_bar_hides_no_focused_control"],
    "T13": ["test_no_page_sticks_out_is_too_small_for_a_thumb_or_has_an_accessibility_fault"],
    "T14": [
        "test_only_what_the_choice_uses_is_shown",
        "test_without_a_sign_in_the_password_goes_and_so_does_the_user_name",
    ],
    "B1": ["test_save_of_a_new_profile_is_blocked_described_and_says_why"],
    "B2": ["test_a_good_server_shows_nine_steps_and_opens_save"],
    "B3": ["test_save_of_an_untouched_profile_is_open"],
    "B4": [
        "test_what_shapes_no_session_leaves_save_open",
        "test_with_always_even_an_unchanged_profile_needs_a_test",
    ],
    "B5": ["test_each_connection_field_shuts_the_gate_and_its_saved_value_opens_it"],
    "B6": ["test_a_change_after_a_pass_is_named_and_the_tested_values_come_back"],
    "B7": ["test_a_change_during_a_test_is_stale_when_it_ends"],
    "B8": ["test_enter_in_a_field_neither_tests_nor_saves"],
    "B9": ["test_a_double_click_sends_one_email"],
    "B10": ["test_stop_closes_the_connection"],
    "B11": ["test_a_wrong_field_starts_no_test_and_gets_the_focus"],
    "B12": ["test_a_failure_names_step_cause_and_field"],
    "B13": ["test_an_unknown_authority_is_trusted_by_one_click_and_the_test_passes"],
    "B14": ["test_a_greylisting_server_does_not_open_save"],
    "B15": ["test_what_goes_round_the_script_is_refused_and_the_entries_stay"],
    "B16": ["test_a_changed_row_behind_the_gate_does_not_send_and_is_named_on_the_first_page"],
    "B17": [
        "test_a_canary_goes_through_every_page_and_turns_up_in_none",
        "test_no_secret_is_kept_by_the_browser",
    ],
    "B18": [
        "test_a_new_password_replaces_the_saved_one_after_its_test",
        "test_an_untouched_save_keeps_the_saved_password",
    ],
    "B19": ["test_the_saved_password_never_follows_to_another_destination"],
    "B20": ["test_autofill_before_load_changes_no_state"],
    "B22": ["test_without_scripts_the_same_form_fills_corrects_tests_and_saves"],
    "B23": [
        "test_who_is_signed_out_during_a_test_keeps_the_entries",
        "test_what_shapes_no_session_leaves_save_open",  # signed out before Save
    ],
    "B24": [
        "test_a_test_goes_on_over_a_reload",
        "test_a_lost_connection_is_said_and_the_same_test_goes_on",
    ],
    "B26": [
        "test_a_save_over_somebody_elses_is_refused_and_shows_both_values",
        "test_what_shapes_no_session_leaves_save_open",
    ],
    "B27": ["test_after_back_the_entries_are_looked_at_again"],
    "B29": ["test_the_banner_of_a_hostile_server_is_shown_and_does_nothing"],
    "B30": [
        "test_a_preset_fills_the_form_goes_on_to_what_is_empty_and_undo_restores",
        "test_a_preset_spares_what_was_typed",
    ],
    "B31": ["test_a_rate_limit_is_said_and_opens_nothing", "test_no_forbidden_address_is_connected"],
    "B32": ["test_a_silent_server_ends_the_run_at_the_limit"],
    "B33": [
        "test_a_draft_of_a_live_profile_asks_before_it_stops_sending",
        "test_a_draft_needs_only_a_name",
        "test_a_refusal_is_explained_and_save_stays_shut",
    ],
    "B34": [
        "test_a_refusal_is_explained_and_save_stays_shut",
        "test_saving_anyway_needs_a_reason_and_is_kept_in_the_log",
        "test_saving_anyway_needs_its_permission",
    ],
    "B35": ["test_a_live_profile_tested_and_not_saved_stays_as_it_is"],
    "B37": [
        "test_a_person_connects_a_credential_and_it_is_renewed",
        "test_the_list_says_how_each_does_and_who_uses_it",
        "test_connecting_again_ends_the_pause_of_its_profiles",
        "test_another_account_names_the_profiles_it_stops_and_wants_a_tick",
        "test_a_credential_in_use_is_not_deleted",
        "test_a_forged_answer_changes_nothing",
    ],
    "B38": ["test_a_from_address_offers_its_provider_and_shows_its_dns"],
    "B39": ["test_the_whole_way_by_keyboard_alone"],
    "B40": ["test_each_state_is_said_to_those_who_listen", "test_the_status_line_says_each_step_once"],
    "B41": ["test_no_page_sticks_out_is_too_small_for_a_thumb_or_has_an_accessibility_fault"],
    "B42": ["test_forced_colours_and_reduced_motion_hide_nothing"],
    "B43": ["test_texts_a_third_longer_stay_in_the_window", "test_every_page_of_the_admin_can_be_translated"],
    "B55": ["test_the_event_log_is_for_reading"],
    "B57": [
        "test_every_address_opens_for_those_who_may",
        "test_who_looks_has_no_button_that_changes_anything",
    ],
    "B58": ["test_the_first_steps_turn_green_one_by_one"],
    "B59": ["test_a_refusal_names_the_permission", "test_the_pages_of_errors_can_be_translated"],
    "B60": ["test_a_window_of_its_own_has_the_same_gate"],
}

#: Of the scenarios of the browser (B) only those in PLACES: not all are tried in one yet.
EXPECTED = {f"E{number}" for number in range(1, 36)} | {
    f"T{number}" for number in (*range(1, 9), *range(11, 15))
}


def named_tests():
    """The names of all test functions."""
    return {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(
            r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }


def test_every_way_around_the_gate_is_tried():
    assert set(PLACES) >= EXPECTED


def test_every_named_test_is_there():
    there = named_tests()
    assert {
        id_: gone for id_, names in PLACES.items() if (gone := [name for name in names if name not in there])
    } == {}
