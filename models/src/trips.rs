//! Taking plugins out of the way.

use std::sync::Arc;

use super::trip::{Admission, Trip};
use crate::{both, check};

/// What the operator trips stays tripped, whatever ends at the same moment.
pub fn the_operators_word_holds() {
    check(|| {
        let trip = Arc::new(Trip::default());
        trip.failed(0, Admission::Free, false);
        let ending = {
            let trip = Arc::clone(&trip);
            move || trip.succeeded(0, Admission::Free)
        };
        let forcing = {
            let trip = Arc::clone(&trip);
            move || trip.force()
        };
        both(ending, forcing);
        assert!(trip.is_tripped() && trip.admits().is_none());
    });
}

/// Faults that come at once are all counted, and one pause begins with the one that is too many.
pub fn faults_at_once_begin_one_pause() {
    check(|| {
        let trip = Arc::new(Trip::default());
        (0..3).for_each(|_| assert_eq!(trip.failed(0, Admission::Free, false), None));
        let failing = || {
            let trip = Arc::clone(&trip);
            move || trip.failed(0, Admission::Free, false)
        };
        let pauses = both(failing(), failing());
        assert_eq!(pauses.into_iter().flatten().count(), 1);
        assert_eq!((trip.is_tripped(), trip.trips()), (true, 1));
    });
}
