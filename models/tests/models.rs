//! Every model, by its name.

use std::process::ExitCode;

use cloud_cup_models::{breakers, charges, members, trips};
use libtest_mimic::{Arguments, Trial};

macro_rules! models {
    ($($module:ident :: $model:ident),+ $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($model)), $module::$model as fn())),+]
    };
}

fn main() -> ExitCode {
    let models = models![
        breakers::a_bad_probe_opens_it_again,
        breakers::a_place_that_is_given_back_is_there_once,
        breakers::a_share_of_failures_is_seen_by_whoever_counts_last,
        breakers::failures_at_once_open_it_once,
        breakers::no_share_is_seen_that_there_never_was,
        breakers::probes_are_no_more_than_there_may_be,
        charges::a_new_key_gets_one_account,
        charges::claims_in_two_slots_become_one_account,
        charges::no_charge_of_a_known_key_is_lost,
        charges::three_claims_become_one_account,
        charges::two_new_keys_get_two_accounts,
        members::an_endpoint_is_taken_out_once,
        members::permits_are_as_many_as_may_be,
        members::reasons_do_not_undo_each_other,
        trips::faults_at_once_begin_one_pause,
        trips::the_operators_word_holds,
    ];
    let trials = models.map(|(name, model)| {
        Trial::test(name, move || {
            model();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}
