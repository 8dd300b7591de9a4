//! Whether a member may be asked, and how much a cluster's members take, while several workers ask and judge.

use std::sync::Arc;

use super::{Dial, Endpoint, Limits, Load, Out};
use crate::{both, check};

fn endpoint() -> Arc<Endpoint> {
    let address = "127.0.0.1:1";
    let parsed = address.parse().expect("an address");
    Arc::new(Endpoint::new(address.to_owned(), parsed, Arc::new(Dial::default())))
}

/// Of failures that come at once, one takes the endpoint out: whether the second or both of them are enough.
pub fn an_endpoint_is_taken_out_once() {
    [1, 2].into_iter().for_each(check_failures);
}

fn check_failures(most: u32) {
    check(move || {
        let endpoint = endpoint();
        let failing = || {
            let endpoint = Arc::clone(&endpoint);
            move || endpoint.failed(most)
        };
        let told = both(failing(), failing());
        assert_eq!(told.iter().filter(|told| **told).count(), 1, "{told:?}");
        assert_eq!((endpoint.is_healthy(), endpoint.ejections()), (false, 1));
    });
}

/// Who lets an endpoint in for one reason does not let it in for another.
pub fn reasons_do_not_undo_each_other() {
    check(|| {
        let endpoint = endpoint();
        endpoint.take_out(Out::Ejected);
        let (one, other) = (Arc::clone(&endpoint), Arc::clone(&endpoint));
        both(move || one.let_in(Out::Ejected), move || other.take_out(Out::Drained));
        assert!(!endpoint.takes_turns() && endpoint.is_out(Out::Drained));
        assert!(endpoint.is_healthy());
    });
}

/// There are never more permits than the limit, and none is refused while there are fewer.
pub fn permits_are_as_many_as_may_be() {
    check(|| {
        let load = Arc::new(Load::default());
        let limits = Limits { requests: 1, ..Limits::default() };
        let asking = || {
            let load = Arc::clone(&load);
            move || load.request(&limits)
        };
        let permits = both(asking(), asking());
        assert_eq!(permits.iter().filter(|permit| permit.is_some()).count(), 1);
        drop(permits);
        assert_eq!(load.now()[0], 0);
        // One comes back while somebody asks: whatever he is told, nothing is lost.
        let (held, asking) = (load.request(&limits), asking());
        let [_, again] = both(
            move || {
                drop(held);
                None
            },
            asking,
        );
        assert_eq!(load.now()[0], u32::from(again.is_some()));
    });
}
