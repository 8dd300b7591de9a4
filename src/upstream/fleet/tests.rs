use std::collections::HashMap;

use super::*;
use crate::upstream::Out;

fn member(host: &str, weight: u32) -> Member {
    let endpoint = Endpoint::new(host.to_owned(), host.parse().unwrap(), Arc::default());
    let endpoint = Arc::new(endpoint);
    let written = host.into();
    Member { endpoint, written, max_failure: Some(1), weight, priority: 0, zone: None, probe: Arc::default() }
}

fn members(weights: &[u32]) -> Vec<Member> {
    weights.iter().enumerate().map(|(index, weight)| member(&format!("h{index}:1"), *weight)).collect()
}

fn fleet(members: &[Member], balancing: &Balancing) -> Fleet {
    Fleet::new(members.into(), balancing, "u")
}

fn take_out(members: &[Member], reason: Out) {
    for member in members {
        member.endpoint.take_out(reason);
    }
}

fn by(strategy: Strategy) -> Balancing {
    Balancing { strategy, ..Balancing::default() }
}

/// How often each member is picked in 10,000 times.
fn shares(fleet: &Fleet) -> Vec<usize> {
    let position = AtomicU64::new(0);
    let mut counts: HashMap<_, _> = fleet.members().iter().map(|member| (member.endpoint.id, 0)).collect();
    for _ in 0..10_000 {
        let picked = fleet.pick(&Choice::default(), &position).unwrap();
        *counts.get_mut(&picked.endpoint.id).unwrap() += 1;
    }
    fleet.members().iter().map(|member| counts[&member.endpoint.id]).collect()
}

#[track_caller]
fn assert_near(found: &[usize], expected: &[usize]) {
    let is_near = |(found, expected): (&usize, &usize)| found.abs_diff(*expected) <= 350;
    assert!(found.iter().zip(expected).all(is_near), "{found:?} instead of {expected:?}");
}

#[test]
fn every_strategy_shares_by_weight_while_nobody_is_busy() {
    for strategy in [
        Strategy::RoundRobin,
        Strategy::LeastRequest,
        Strategy::PeakEwma,
        Strategy::Random,
        Strategy::Maglev,
        Strategy::RingHash,
    ] {
        let all = members(&[1, 3, 1]);
        let found = shares(&fleet(&all, &by(strategy)));
        let tolerance = if strategy == Strategy::RingHash { 10 } else { 1 };
        let is_near = found
            .iter()
            .zip([2000usize, 6000, 2000])
            .all(|(one, other)| one.abs_diff(other) <= 350 * tolerance);
        assert!(is_near, "{strategy:?}: {found:?}");
    }
}

#[test]
fn least_request_passes_over_the_busy() {
    let all = members(&[1, 1]);
    let busy: Vec<_> = (0..5).map(|_| all[0].endpoint.begin()).collect();
    let fleet = fleet(&all, &by(Strategy::LeastRequest));
    // It is picked when it is drawn twice.
    assert_near(&shares(&fleet), &[2500, 7500]);
    drop(busy);
    assert_near(&shares(&fleet), &[5000, 5000]);
    let twice = members(&[2, 1]);
    let _busy = [twice[0].endpoint.begin(), twice[0].endpoint.begin(), twice[1].endpoint.begin()];
    // As busy as they should be.
    assert_near(&shares(&super::Fleet::new(twice.into(), &by(Strategy::LeastRequest), "u")), &[6667, 3333]);
}

#[test]
fn peak_ewma_passes_over_the_slow() {
    let all = members(&[1, 1]);
    all[0].endpoint.latency.observe(uptime(), Duration::from_millis(500));
    all[1].endpoint.latency.observe(uptime(), Duration::from_millis(5));
    assert_near(&shares(&fleet(&all, &by(Strategy::PeakEwma))), &[2500, 7500]);
}

#[test]
fn a_key_stays_with_its_member_as_long_as_that_is_fit() {
    for strategy in [Strategy::Maglev, Strategy::RingHash] {
        let all = members(&[1; 5]);
        let before = fleet(&all, &by(strategy));
        let position = AtomicU64::new(0);
        let pick = |fleet: &Fleet, hash| {
            fleet.pick(&Choice { hash: Some(hash), ..Choice::default() }, &position).unwrap().endpoint.id
        };
        let hashes: Vec<u64> =
            (0..1000u64).map(|key| crate::upstream::balance::hash(&key.to_le_bytes())).collect();
        let home: Vec<_> = hashes.iter().map(|hash| pick(&before, *hash)).collect();
        all[2].endpoint.take_out(Out::Unfit);
        let gone = all[2].endpoint.id;
        let after = fleet(&all, &by(strategy));
        let pairs = hashes.iter().zip(&home);
        let moved = pairs.clone().filter(|(hash, home)| pick(&after, **hash) != **home).count();
        assert!(moved <= 1000 / 5 + 70, "{strategy:?}: {moved}");
        // Before the tables are made anew, only the keys of the one that is out go elsewhere.
        let strays = pairs.filter(|(hash, home)| **home != gone && pick(&before, **hash) != **home).count();
        assert_eq!(strays, 0, "{strategy:?}");
    }
}

#[test]
fn later_priorities_take_what_the_first_cannot() {
    let mut all = members(&[1; 8]);
    all[4..].iter_mut().for_each(|member| member.priority = 1);
    assert_eq!(shares(&fleet(&all, &Balancing::default()))[4..], [0; 4]);
    // Two of four are 70 per cent of what is needed.
    take_out(&all[..2], Out::Unfit);
    let found = shares(&fleet(&all, &Balancing::default()));
    assert_near(&found, &[0, 0, 3500, 3500, 750, 750, 750, 750]);
    take_out(&all[..4], Out::Unfit);
    assert_near(&shares(&fleet(&all, &Balancing::default())), &[0, 0, 0, 0, 2500, 2500, 2500, 2500]);
}

#[test]
fn the_own_zone_comes_first() {
    let mut all = members(&[1; 4]);
    all[0].zone = Some("a".into());
    all[1].zone = Some("b".into());
    let balancing = Balancing { zone: Some("b".into()), ..Balancing::default() };
    assert_eq!(shares(&fleet(&all, &balancing)), [0, 10_000, 0, 0]);
    all[1].endpoint.take_out(Out::Ejected);
    assert_near(&shares(&fleet(&all, &balancing)), &[3333, 0, 3333, 3333]);
    assert_near(&shares(&fleet(&all, &Balancing::default())), &[3333, 0, 3333, 3333]);
}

#[test]
fn in_a_panic_all_are_asked_but_for_those_that_the_operator_took_out() {
    let all = members(&[1; 4]);
    take_out(&all[..3], Out::Ejected);
    all[0].endpoint.take_out(Out::Drained);
    let calm = Balancing { panic_threshold: 25, ..Balancing::default() };
    assert_eq!(shares(&fleet(&all, &calm)), [0, 0, 0, 10_000]);
    let panic = Balancing { panic_threshold: 50, ..Balancing::default() };
    assert_near(&shares(&fleet(&all, &panic)), &[0, 3333, 3333, 3333]);
    all[3].endpoint.take_out(Out::Ejected);
    let position = AtomicU64::new(0);
    assert!(fleet(&all, &Balancing::default()).pick(&Choice::default(), &position).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_gets_its_share_step_by_step() {
    uptime();
    let window = Duration::from_secs(10);
    let balancing = Balancing { slow_start: Some(window), ..Balancing::default() };
    let mut all = members(&[1]);
    tokio::time::advance(window).await;
    all.push(member("new:1", 1));
    assert_near(&shares(&fleet(&all, &balancing)), &[9091, 909]);
    tokio::time::advance(window / 2).await;
    assert_near(&shares(&fleet(&all, &balancing)), &[6667, 3333]);
    assert!(fleet(&all, &balancing).is_warming);
    tokio::time::advance(window / 2).await;
    assert_near(&shares(&fleet(&all, &balancing)), &[5000, 5000]);
    assert!(!fleet(&all, &balancing).is_warming);
    all[0].endpoint.take_out(Out::Ejected);
    all[0].endpoint.let_in(Out::Ejected);
    assert_near(&shares(&fleet(&all, &balancing)), &[909, 9091]);
}

#[test]
fn a_cookie_leads_back_as_long_as_its_member_is_fit() {
    let affinity = Affinity {
        cookie: "c".into(),
        secret: [7; 32],
        max_age: None,
        same_site: crate::upstream::SameSite::Lax,
        secure: None,
    };
    let all = members(&[1; 3]);
    let value = affinity.value("u", &all[1].endpoint.host);
    let fleet = fleet(&all, &Balancing { affinity: Some(affinity), ..Balancing::default() });
    let position = AtomicU64::new(0);
    let pick = |cookie| {
        fleet.pick(&Choice { cookie, ..Choice::default() }, &position).unwrap().endpoint.host.clone()
    };
    assert_eq!([(); 3].map(|()| pick(Some(value.as_str()))), ["h1:1"; 3]);
    assert_eq!([(); 3].map(|()| pick(Some("forged"))), ["h0:1", "h1:1", "h2:1"]);
    all[1].endpoint.take_out(Out::Ejected);
    assert_ne!(pick(Some(&value)), "h1:1");
}
